// The rows of a table of states without SQL: found by the primary key, inserted many at a time, and updated where they were last seen.
//
// Only for a table that is as it was created, apart from its indexes and constraints, which are honoured as the executor does it. On
// any other (triggers, rules, row-level security, more columns, another access method, ..) nothing is done, and SQL is left to it.
//
// Call these as the owner of the table, who is its user here as in SQL, with the table locked.
#pragma once

#include "query/state_cache.hpp"

namespace query
{

// Looks up the entries under the active snapshot and fills in those that have a row. False: this takes SQL.
bool load_rows(Oid table, KeyType type, std::span<StateCache::Entry *const> entries, StateCache &cache);

// Writes the entries, all of which exist. A row is only ever replaced by one of a higher position. What cannot be written so (the row
// moved on since the statement began, or is not behind) is left to SQL, in `left`. With `alone` nobody but the caller has ever written
// to the table, so that a row that he has not stored is not looked for; the call sets it where the table is empty. False: all of this
// takes SQL.
bool write_rows(Oid table, KeyType type, const StateCache &cache, std::span<StateCache::Entry *const> entries,
                bool &alone, std::vector<StateCache::Entry *> &left);

} // namespace query
