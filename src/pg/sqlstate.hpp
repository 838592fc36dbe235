// The SQLSTATEs of our own, class RM. Everything else uses PostgreSQL's (errcodes.h).
//
// They are part of the interface: clients and the HTTP service branch on them, so a number never changes its meaning.
#pragma once

#include "pg/postgres.hpp"

namespace pg::sqlstate
{

inline constexpr int rebuilding = MAKE_SQLSTATE('R', 'M', '0', '0', '1');
inline constexpr int failed = MAKE_SQLSTATE('R', 'M', '0', '0', '2');
inline constexpr int paused_or_gated = MAKE_SQLSTATE('R', 'M', '0', '0', '3');
inline constexpr int stalled = MAKE_SQLSTATE('R', 'M', '0', '0', '4');
inline constexpr int timeout = MAKE_SQLSTATE('R', 'M', '0', '0', '5');
inline constexpr int no_such_object = MAKE_SQLSTATE('R', 'M', '0', '0', '6'); // query, source, generation or instance
inline constexpr int version_conflict = MAKE_SQLSTATE('R', 'M', '0', '1', '0');
inline constexpr int position_settled = MAKE_SQLSTATE('R', 'M', '0', '1', '1'); // at or below the settled position

} // namespace pg::sqlstate
