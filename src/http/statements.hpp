// Every SQL text of the service. They are constants, prepared once on each connection; what differs goes as a parameter.
#pragma once

#include <array>

namespace http
{

// What the catalog and shared memory tell touches no table of states, so whoever locks one cannot hold it up. For what probes ask, which
// is brief, one connection of the pool is kept; the rest takes one that reads states, but waits for none that is locked.
enum class Touches
{
    catalog, // in brief
    status,  // the same, with all that there is to tell of every query or source
    states,
};

struct Statement
{
    const char *name;
    const char *text;
    bool brief = false; // its result may as well come with the others of its batch
    Touches touches = Touches::states;
    bool gathers = false; // several reads are one statement: gathering.hpp
};

namespace statements
{

// Whether the role may see the queries of others. One that may not would be told of none, and so that all are ready.
#define READMODEL_SEES_QUERIES                                                                                         \
    "(pg_catalog.has_schema_privilege('readmodel_catalog', 'USAGE') AND "                                              \
    "pg_catalog.has_function_privilege('readmodel_catalog.reader()', 'EXECUTE') "                                      \
    "OR pg_catalog.pg_has_role('pg_monitor', 'USAGE'))"

// A row for each query: $1 names, or all of them; $2 a definition hash; $3 only those that would not be served. The columns: report.hpp.
inline constexpr Statement readiness_report = {
    "readiness_report",
    "SELECT name, status, reason, generation, definition_hash, \"position\", lag, estimated_seconds_remaining, served, "
    "served_generation, served_definition_hash FROM readmodel.readiness_report($1, $2, $3)",
    false, Touches::catalog};

// A row for each id: $1 query, $2 ids, $3 a definition hash. A read brings one id.
inline constexpr Statement read_state = {"read_state",
                                         "SELECT status, reason, generation, definition_hash, \"position\", "
                                         "estimated_seconds_remaining, state, state_position, updated_at "
                                         "FROM readmodel.read_states_by_id($1, $2, $3)",
                                         true, Touches::states, true};

// A page, at least one row: $1 query, $2 the id before its first, $3 how many at most, $4 a definition hash. It ends before the state
// that would make it longer than 4 MB, unless that is its first: whatever states are like, a page fits into memory. The last column
// says whether there was another row.
inline constexpr Statement read_states = {
    "read_states",
    "SELECT status, reason, generation, definition_hash, \"position\", estimated_seconds_remaining, state, "
    "state_position, updated_at, id, followed FROM ("
    "SELECT *, pg_catalog.row_number() OVER so_far = 1 "
    "OR pg_catalog.sum(coalesce(pg_catalog.octet_length(state), 0)) OVER so_far <= 4194304 AS fits, "
    "pg_catalog.lead(true, 1, false) OVER so_far AS followed "
    // OFFSET 0: the text of a state is made once.
    "FROM (SELECT status, reason, generation, definition_hash, \"position\", estimated_seconds_remaining, "
    "state::text AS state, state_position, updated_at, id FROM readmodel.read_states($1, $2, $3, $4) OFFSET 0) AS read "
    "WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)) AS page WHERE fits"};

// A row for each query, one for each source, and one where the role may not see them any more, all under one snapshot. The
// columns: metrics_route.cpp.
inline constexpr Statement metrics = {
    "metrics",
    "SELECT 'query', s.name, s.status, s.definition_hash, s.generation, s.serving_generation, s.\"position\", s.lag, "
    "s.lag_seconds, s.events_applied, s.estimated_seconds_remaining, s.instances, s.bytes, c.dead_letters, c.failures, "
    "c.batches, c.events_replayed, c.rebuild_seconds, NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer, "
    "NULL::double precision, NULL::bigint, NULL::bigint "
    "FROM readmodel.status() s JOIN readmodel.query_counters() c USING (name) "
    "UNION ALL "
    "SELECT 'source', name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, batches, "
    "NULL, NULL, settled_position, head_position, pending_hole, coalesce(cardinality(blocked_by), 0), "
    "coalesce(extract(epoch FROM blocked_for), 0)::double precision, events_read, lock_lookups "
    "FROM readmodel.source_status() "
    "UNION ALL "
    "SELECT 'hidden', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE NOT " READMODEL_SEES_QUERIES,
    false, Touches::status};

// For the page, a row for each query, and a last one where they are hidden. The reason is the report's, which never has the text of a
// message.
inline constexpr Statement page_queries = {
    "page_queries",
    "SELECT name, r.status, r.reason, r.served, s.generation, s.definition_hash, s.serving_generation, "
    "s.serving_status, "
    "s.\"position\", s.settled_position, s.head_position, s.lag, s.lag_seconds, s.events_applied, s.events_per_second, "
    "s.estimated_seconds_remaining, to_json(s.rebuild_started_at) AS rebuild_started_at, "
    "to_json(s.rebuild_finished_at) AS rebuild_finished_at, s.instances, s.bytes, s.worker_pid, s.error_sqlstate, "
    "s.error_position, c.dead_letters, c.failures "
    "FROM readmodel.status() s JOIN readmodel.readiness_report() r USING (name) "
    "LEFT JOIN readmodel.query_counters() c USING (name) "
    "UNION ALL SELECT NULL, 'hidden', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE NOT " READMODEL_SEES_QUERIES,
    false, Touches::status};

// .. and a row for each source.
inline constexpr Statement page_sources = {
    "page_sources",
    "SELECT name, events::text AS events, settled_position, head_position, pending_hole, "
    "to_json(blocked_by) AS blocked_by, "
    "extract(epoch FROM blocked_for)::float8 AS blocked_for, batches, lock_lookups, events_read "
    "FROM readmodel.source_status()",
    false, Touches::status};

// Whether the role may do anything by now: the setting is_superuser of a session says what it was when the session began.
inline constexpr Statement role_is_superuser = {"role_is_superuser",
                                                "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
                                                true, Touches::catalog};

inline constexpr std::array all = {readiness_report, read_state,   read_states,      metrics,
                                   page_queries,     page_sources, role_is_superuser};

} // namespace statements

} // namespace http
