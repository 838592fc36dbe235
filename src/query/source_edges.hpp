// What a report reads once of each source, under the one snapshot of the statement, and what follows from it for its queries.
#pragma once

#include "query/readiness.hpp"

namespace query
{

class SourceEdges
{
public:
    struct Edges
    {
        std::optional<source::EventSource> row;
        bool readable = false;
        MaybePosition head;
        MaybePosition first; // asked for only where a query has applied nothing yet
        bool first_known = false;
        MaybePosition settled;
    };

    const Edges &of(int32 source_id) { return edges_of(source_id); }

    // An upper bound of the events that are still to be looked at; nothing if the source cannot be read.
    std::optional<int64> lag(int32 source_id, const MaybePosition &position);

private:
    Edges &edges_of(int32 source_id);

    std::map<int32, Edges> known;
};

// How long a rebuild will still take at the rate of the worker that moves it.
std::optional<double> estimated_seconds(const Standing &standing, const std::optional<int64> &lag);

} // namespace query
