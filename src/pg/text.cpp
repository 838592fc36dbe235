#include "pg/text.hpp"

namespace pg
{

std::string relation_name(Oid relation)
{
    const char *result = call(
        [&]() -> const char *
        {
            const char *name = get_rel_name(relation);
            if (!name)
                return nullptr;
            const char *schema = get_namespace_name(get_rel_namespace(relation));
            return schema ? quote_qualified_identifier(schema, name) : nullptr;
        });
    return result ? result : "";
}

} // namespace pg
