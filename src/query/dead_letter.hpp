// Dead letters: events that a query with on_error = skip could not apply and has passed over.
//
// A letter is written in the transaction that moves the checkpoint over its event, so it is neither lost nor doubled, and belongs to
// the generation: the shares of a rebuild that is split may all meet the same event.
//
// One that was discarded stays as a row: whoever folds the events again, as a whole or for one instance, has to leave it out.
#pragma once

#include "pg/guard.hpp"
#include "source/position.hpp"

namespace query
{

// How many are stored that nobody has discarded. Needs an SPI connection and an active snapshot, as a superuser.
std::int64_t count_dead_letters(int32 generation_id);

// Needs an SPI connection, as a superuser, in the transaction that moves the checkpoint.
void record_dead_letter(int32 generation_id, source::Position position, const std::string &sqlstate,
                        const std::string &message);

} // namespace query
