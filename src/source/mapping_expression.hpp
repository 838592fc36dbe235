// The expressions that map a row of an event table to an event: type, stream, data, metadata, occurred_at.
//
// They run for every event that is read, as the owner of the event table, so they may only look at the row: no
// subquery, no aggregate, no window function, no set, nothing volatile.
#pragma once

#include "pg/guard.hpp"

namespace source
{

// Parses `text` over a row of `events` and checks that it gives a value of `target`: text, jsonb or timestamptz. Throws
// an error that names the argument. Call it as the owner of the table, restricted, with the captured search_path set:
// what a name means depends on both, and planning folds constants.
void check_mapping(Relation events, const char *argument, const std::string &text, Oid target);

} // namespace source
