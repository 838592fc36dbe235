#include "pg/text.hpp"

namespace pg
{

std::vector<std::string> texts_of(Datum array)
{
    Datum *values = nullptr;
    int count = 0;
    call([&]
         { deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, nullptr, &count); });
    std::vector<std::string> members;
    members.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; i++)
        members.push_back(text_of(values[i]));
    return members;
}

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
