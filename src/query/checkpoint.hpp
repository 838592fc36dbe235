// The stored checkpoint of a generation: it moves by compare-and-set only, in the transaction that writes the states.
#pragma once

#include "query/generation.hpp"

namespace query
{

struct CheckpointMove
{
    int32 generation_id;
    MaybePosition from; // what the mover believes is stored
    MaybePosition to;
    int64 events;    // applied in between
    int64 instances; // more of them
    int32 revision;  // of the row, when the mover read it
};

// Moves the checkpoint. False if another one is stored by now (another worker, catch_up, an operator), somebody else has changed
// states (which raises the revision), or the generation is gone:
// the mover must forget what it has folded. Waits while another transaction moves it. Needs an SPI connection, as a superuser.
bool move_checkpoint(const CheckpointMove &move);

} // namespace query
