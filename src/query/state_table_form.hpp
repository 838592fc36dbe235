// The form that a table of states is created in. Who reads or writes its rows without SQL asks for it, for the owner may have changed
// the table: what is of another form is left to SQL.
#pragma once

#include "query/generation.hpp"

namespace query
{

enum Attribute
{
    attribute_id = 1,
    attribute_state,
    attribute_position,
    attribute_updated_at,
    attributes = attribute_updated_at,
};

// Apart from indexes and constraints.
bool is_as_created(Relation table, KeyType type);

// Whether the ids can be looked up in the index: by their bytes, and there is one row of each at most.
bool is_key(Relation index, KeyType type);

} // namespace query
