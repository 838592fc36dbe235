// Whether a generation may be moved now: asked when a lane takes it up.
#pragma once

#include "query/generation.hpp"
#include "source/event_source.hpp"

namespace query
{

// What is in the way: its table of states or its updater is gone, its owner may not read the event table or call the updater any
// more. Empty if nothing is. Needs a transaction.
std::optional<pg::Error> check_generation(const Generation &generation, const source::EventSource &source);

// True if the definition as the catalog has it now (the updater's body above all) still has the hash that the generation was
// built under. Needs a transaction.
bool definition_unchanged(const Generation &generation);

} // namespace query
