// Whether something that a process has built its statements and its proof on was changed: an event table, a partition, a table of
// states, a sequence. Fed by the server's invalidation messages, so it is current whenever a lock was just taken.
//
// Order of use: begin_loading(); load everything; watch(..). What changes in between is noted whatever it is.
#pragma once

#include "pg/postgres.hpp"

#include <span>

namespace source
{

void begin_loading();
void watch(std::span<const Oid> relations);

// True since something changed, until the next begin_loading().
bool watched_changed() noexcept;

// The same, after the messages that have come until now were read. Needs a transaction.
bool watched_changed_now();

} // namespace source
