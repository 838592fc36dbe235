// Reads states for get() and read_state(): one by its id, or a page of them in the order of their ids.
//
// Under the active snapshot, the one under which the caller has found the generation and how it stands. As the owner of the table of
// states, as through the view.
#pragma once

#include "query/readiness.hpp"
#include "query/state_lookup.hpp"

namespace query
{

// Throws 42501 unless the current user may read the query's states: SELECT on its view.
void require_select(const catalog::QueryRow &query);

// An instance's id as a caller gives it.
struct Id
{
    Oid type; // text, bigint or uuid
    Datum value;
};

// The id, given as text, as the key type has it; nothing for a text that is no value of it.
std::optional<Id> id_of_text(Datum text, KeyType key_type);

// The state of the instance, in the caller's memory. Throws 22P02 for an id that is no value of the generation's key type, and 40001
// where the snapshot is too old for the table.
std::optional<StateRow> state_of(const catalog::QueryRow &query, const catalog::GenerationRow &generation,
                                 const Id &id);

// At most so many states whose ids come after the given one (none: from the first on), in their order. `take` gets each with its id
// as text; what it gets is valid for the call. Throws as state_of() does.
using TakeState = std::function<void(Datum id_text, const StateRow &row)>;
void states_after(const catalog::QueryRow &query, const catalog::GenerationRow &generation,
                  const std::optional<Id> &after, int most, const TakeState &take);

} // namespace query
