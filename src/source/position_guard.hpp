// The trigger of a guarded source (settle => 'guarded'): it refuses an event that comes too late (position_floor.hpp has the
// proof), and draws the numbers of the sequence up to a position above them.
//
// A trigger per statement takes the sequence's lock and finds the floor before the statement draws anything; one per row
// compares. Partitions get a copy of the latter only, which does both where they are written to directly.
#pragma once

#include "source/event_source.hpp"

namespace source
{

// Creates the triggers, as the current user, who must be allowed to, over an SPI connection. Waits for the table's writers.
void create_guard(const EventSource &source);

// Drops what is there of them, likewise.
void drop_guard(int32 source_id, Oid events);

// The table, or a partition, whose trigger is missing or does not fire for everybody. Empty: none.
std::optional<Oid> unguarded_table(const EventSource &source, const std::vector<Oid> &tables);

} // namespace source
