// The table of states of one generation: its making and its end. state_store.hpp reads and writes it.
#pragma once

#include "query/generation.hpp"

namespace query
{

// Creates readmodel_data.g_<generation_id>, owned by the current user, who needs no right in that schema.
Oid create_state_table(int32 generation_id, KeyType key_type);

} // namespace query
