// Taking over a source whose rows came from another server or database: a restore, pg_upgrade, CREATE DATABASE .. TEMPLATE.
//
// A restore brings the catalog's rows first, then states, events and sequence values, and only then keys and indexes. So a stamp
// that is not this database's means that the rest may not be there yet; once the position index and the keys of all states exist,
// the sequence is not behind the checkpoints and the rows of the catalog are complete, everything is. A parallel restore
// (pg_restore --jobs) keeps to no order even between the catalog's tables.
#pragma once

#include "query/generation.hpp"
#include "source/event_source.hpp"

namespace worker
{

// Writes the stamp and returns nothing if all is there; otherwise what is missing. Call it inside a transaction, as a superuser,
// with an active snapshot.
std::optional<pg::Error> adopt_restored(const source::EventSource &source,
                                        const std::vector<query::Generation> &generations);

} // namespace worker
