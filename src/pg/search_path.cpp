#include "pg/search_path.hpp"

namespace pg
{

std::string captured_search_path()
{
    return call(
        []
        {
            StringInfoData path;
            initStringInfo(&path);
            ListCell *cell;
            foreach (cell, fetch_search_path(false))
            {
                const Oid schema = lfirst_oid(cell);
                const char *const name = isAnyTempNamespace(schema) ? nullptr : get_namespace_name(schema);
                if (name)
                    appendStringInfo(&path, "%s, ", quote_identifier(name));
            }
            appendStringInfoString(&path, "pg_temp");
            return static_cast<const char *>(path.data);
        });
}

} // namespace pg
