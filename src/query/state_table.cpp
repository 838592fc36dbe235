#include "query/state_table.hpp"

#include "query/catalog.hpp"

namespace query
{

Oid create_state_table(int32 generation_id, KeyType key_type)
{
    const std::string name = "g_" + std::to_string(generation_id);
    const std::string table = pg::quoted("readmodel_data", name);
    const char *id = "bigint";
    if (key_type == KeyType::text)
        id =
            "text COLLATE pg_catalog.\"C\""; // ids are bytes: no locale decides which are equal or changes an index's order
    else if (key_type == KeyType::uuid)
        id = "uuid";
    const std::string owner = pg::quoted(
        std::string_view(pg::call([] { return static_cast<const char *>(GetUserNameFromId(GetUserId(), false)); })));

    const CatalogScope scope;
    // The caller's defaults are checked against his rights, and this statement runs with others.
    pg::set_local("default_tablespace", "");
    pg::set_local("default_table_access_method", "heap");
    // Room on each page, so that most updates are HOT: no column but the id is indexed.
    pg::execute("CREATE TABLE " + table + " (id " + id +
                " PRIMARY KEY, state jsonb NOT NULL, position bigint NOT NULL,"
                " updated_at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 50)");
    pg::execute("ALTER TABLE " + table + " OWNER TO " + owner);
    return pg::call([&] { return get_relname_relid(name.c_str(), get_namespace_oid("readmodel_data", false)); });
}

} // namespace query
