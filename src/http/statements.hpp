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
    "SELECT name, status, reason, generation, definition_hash, \"position\", lag, estimated_seconds_remaining, "
    "CASE WHEN status = 'ready' THEN 'ready' END AS served "
    "FROM readmodel.status() WHERE $1::text[] IS NULL OR name = ANY ($1) AND ($2::text IS NULL OR definition_hash = "
    "$2)"};

inline constexpr std::array all = {readiness_report};

} // namespace statements

} // namespace http
