// The view of a query: the states of its serving generation, behind a guard.
//
// The guard is the function readmodel_catalog.is_serving, a one-time filter: a statement whose snapshot is older than a takeover
// would find the new generation's table empty, or half built, and gets a serialization error instead.
#pragma once

#include "query/generation.hpp"

namespace query
{

// The functions that change a view run as the current user or, where it says so, as the catalog's owner. They open an SPI
// connection of their own.

// Creates schema."name" for a generation; owned by the current user, who needs CREATE in the schema unless that is `readmodel`.
Oid create_view(const std::string &schema, const std::string &name, int32 generation_id, Oid state_table);

// Moves the view to another schema, as the current user.
void move_view(Oid view, const std::string &schema);

// Throws 2BP01 where a generation with this type of key would need another view and other objects depend on the one that is there:
// the view has the type of its key in its first column.
void require_key_can_change(Oid view, const std::string &query_name, KeyType key_type);

// What depends on the view and would keep it from being recreated, described; empty: nothing.
std::string dependents_of_view(Oid view);

// Lets the view show another generation, as the catalog's owner. Owner, privileges, comments and options stay. With
// `recreate` (the key's type differs) it becomes another relation, which is returned; throws 2BP01 if anything depends on it.
Oid replace_view(Oid view, int32 generation_id, Oid state_table, bool recreate);

} // namespace query
