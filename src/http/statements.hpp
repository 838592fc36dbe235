// Every SQL text of the service. They are constants, prepared once on each connection; what differs goes as a parameter.
#pragma once

#include <array>

namespace http
{

struct Statement
{
    const char *name;
    const char *text;
};

namespace statements
{

// A row for each query: $1 names, or all of them; $2 a definition hash.
inline constexpr Statement readiness_report = {
    "readiness_report",
    "SELECT name, status, reason, generation, definition_hash, \"position\", lag, estimated_seconds_remaining, served "
    "FROM readmodel.readiness_report($1, $2)"};

// One row: $1 query, $2 id, $3 a definition hash.
inline constexpr Statement read_state = {"read_state",
                                         "SELECT status, reason, generation, definition_hash, \"position\", "
                                         "estimated_seconds_remaining, state, state_position, "
                                         "updated_at FROM readmodel.read_state($1, $2, $3)"};

// A page, at least one row: $1 query, $2 the id before its first, $3 how many at most, $4 a definition hash.
inline constexpr Statement read_states = {"read_states",
                                          "SELECT status, reason, generation, definition_hash, \"position\", "
                                          "estimated_seconds_remaining, state, state_position, "
                                          "updated_at, id FROM readmodel.read_states($1, $2, $3, $4)"};

inline constexpr std::array all = {readiness_report, read_state, read_states};

} // namespace statements

} // namespace http
