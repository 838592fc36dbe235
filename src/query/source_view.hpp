// What a statement's snapshot sees of an event table, for status functions only (source::head_position is of the same kind).
//
// Runs as the owner of the event table, in a subtransaction: a source that is broken, locked or gone yields nothing instead of
// an error, and never keeps the caller waiting for more than a moment.
#pragma once

#include "query/catalog_rows.hpp"

namespace query
{

// The lowest position, found by one step in the position's index.
MaybePosition first_position(const source::EventSource &source);

// Whether an event of one of these types (none given: any) lies after the position. Nothing: that could not be found out.
std::optional<bool> has_event_after(const source::EventSource &source, const MaybePosition &position,
                                    const std::optional<std::vector<std::string>> &event_types);

} // namespace query
