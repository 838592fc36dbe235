#include "query/source_edges.hpp"

#include "query/source_view.hpp"

namespace query
{

SourceEdges::Edges &SourceEdges::edges_of(int32 source_id)
{
    const auto [place, added] = known.try_emplace(source_id);
    Edges &edges = place->second;
    if (added)
    {
        edges.row = catalog::find_source(source_id);
        if (edges.row)
        {
            const std::optional<MaybePosition> head = source::readable_head(*edges.row);
            edges.readable = head.has_value();
            edges.head = head.value_or(std::nullopt);
        }
        if (const std::optional<worker::SourceSlot> slot = worker::source_snapshot(source_id))
            edges.settled = slot->settled.get();
    }
    return edges;
}

std::optional<int64> SourceEdges::lag(int32 source_id, const MaybePosition &position)
{
    Edges &edges = edges_of(source_id);
    if (!edges.readable)
        return std::nullopt;
    if (!edges.head)
        return 0; // no events, or none any more
    if (position)
        return std::max<int64>(0, *edges.head - *position);
    if (!edges.first_known)
    {
        edges.first = first_position(*edges.row);
        edges.first_known = true;
    }
    return edges.first ? std::optional<int64>(*edges.head - *edges.first + 1) : std::nullopt;
}

std::optional<double> estimated_seconds(const Standing &standing, const std::optional<int64> &lag)
{
    if (standing.status != Status::rebuilding || !standing.held || !lag || !standing.slot ||
        standing.slot->events_per_second <= 0)
        return std::nullopt;
    return static_cast<double>(*lag) / standing.slot->events_per_second;
}

} // namespace query
