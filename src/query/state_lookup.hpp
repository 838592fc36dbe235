// One row of a table of states, found by its primary key without SQL: planning, starting and ending a statement takes longer than to
// find the row.
#pragma once

#include "query/generation.hpp"

namespace query
{

struct StateRow
{
    Datum state;
    source::Position position;
    TimestampTz updated_at;
};

// Under the active snapshot; `row` is empty if there is none, and its state lies in the current memory context. False: this takes SQL.
// The table is locked, and the id is of the key's type. No user's code is run.
bool look_up_state(Oid table, Oid owner, KeyType type, Datum id, std::optional<StateRow> &row);

} // namespace query
