// readmodel.status(): a row for each query that the caller may see.

#include "query/result_row.hpp"
#include "query/source_edges.hpp"
#include "query/visibility.hpp"

namespace
{

using namespace query;

// In the order of the function's columns (schema/40-reading.sql).
enum Column
{
    column_name,
    column_status,
    column_reason,
    column_generation,
    column_definition_hash,
    column_serving_generation,
    column_serving_status,
    column_position,
    column_settled_position,
    column_head_position,
    column_lag,
    column_lag_seconds,
    column_events_applied,
    column_events_per_second,
    column_estimated_seconds_remaining,
    column_rebuild_started_at,
    column_rebuild_finished_at,
    column_instances,
    column_bytes,
    column_worker_pid,
    column_error_sqlstate,
    column_error_message,
    column_error_position,
    column_count
};

using Row = ResultRow<column_count>;

void add_progress(Row &row, const Standing &standing, const catalog::GenerationRow &generation,
                  std::optional<int64> lag)
{
    row.bigint(column_lag, lag);
    row.bigint(column_events_applied, standing.checkpoint.events_applied);
    row.bigint(column_instances, standing.checkpoint.instances);
    row.time(column_rebuild_started_at, generation.rebuild_started_at);
    row.time(column_rebuild_finished_at, generation.ready_at);
    if (lag && *lag == 0)
        row.number(column_lag_seconds, 0);
    if (!standing.slot)
        return;
    const worker::GenerationSlot &slot = *standing.slot;
    if (lag && *lag > 0 && generation.phase == Phase::live && slot.current_at != 0)
        row.number(column_lag_seconds,
                   static_cast<double>(std::max<int64>(0, GetCurrentTimestamp() - slot.current_at)) / USECS_PER_SEC);
    if (!standing.held)
        return;
    row.set(column_worker_pid, Int32GetDatum(slot.worker_pid));
    row.number(column_events_per_second, slot.events_per_second);
    if (const std::optional<double> seconds = estimated_seconds(standing, lag))
        row.number(column_estimated_seconds_remaining, *seconds);
}

void add_error(Row &row, const Standing &standing, bool with_messages)
{
    if (!standing.failure)
        return;
    if (standing.failure->sqlstate)
        row.text(column_error_sqlstate, *standing.failure->sqlstate);
    row.bigint(column_error_position, standing.failure->position);
    if (with_messages && standing.failure->message)
        row.text(column_error_message, *standing.failure->message);
}

std::string serving_status(const ServerFacts &server, const catalog::QueryRow &query, const Standing &newest)
{
    if (query.serving == query.newest)
        return std::string(name_of(newest.status));
    const std::optional<catalog::GenerationRow> serving = server.survey.generation(query.id, query.serving);
    return serving ? std::string(name_of(standing_of(server, query, *serving).status)) : std::string();
}

Row row_of(const ServerFacts &server, SourceEdges &sources, const catalog::QueryRow &query, bool with_messages)
{
    const catalog::GenerationRow generation = wanted_generation(server, query, std::nullopt);
    const Standing standing = standing_of(server, query, generation);
    const SourceEdges::Edges &edges = sources.of(query.source_id);

    Row row;
    row.text(column_name, query.name);
    row.text(column_status, name_of(standing.status));
    if (!standing.reason.empty())
        row.text(column_reason, with_messages && !standing.note.empty() ? standing.reason + " (" + standing.note + ")"
                                                                        : standing.reason);
    row.set(column_generation, Int32GetDatum(generation.number));
    row.text(column_definition_hash, generation.definition_hash);
    row.set(column_serving_generation, Int32GetDatum(query.serving));
    row.text(column_serving_status, serving_status(server, query, standing));
    row.bigint(column_position, standing.position);
    row.bigint(column_settled_position, edges.settled);
    row.bigint(column_head_position, edges.head);
    add_progress(row, standing, generation, sources.lag(query.source_id, standing.position));
    row.bigint(column_bytes, bytes_of_states(generation.state_table));
    add_error(row, standing, with_messages);
    return row;
}

Datum status(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const std::vector<catalog::QueryRow> queries = catalog::all_queries();
    const ServerFacts server = server_facts(queries.size());
    SourceEdges sources;
    Viewer viewer;
    for (const catalog::QueryRow &query : queries)
    {
        const Oid owner = catalog::owner_of(query);
        if (!viewer.may_see(owner))
            continue;
        row_of(server, sources, query, may_see_messages(owner)).put(fcinfo);
    }
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_status, status);
