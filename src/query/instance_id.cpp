#include "query/instance_id.hpp"

#include "pg/text.hpp"

namespace query
{

std::string id_bytes_of(KeyType type, const std::string &text)
{
    if (type == KeyType::text)
        return text;
    const Datum value = pg::call(
        [&]
        {
            return type == KeyType::uuid ? DirectFunctionCall1(uuid_in, CStringGetDatum(text.c_str()))
                                         : DirectFunctionCall1(int8in, CStringGetDatum(text.c_str()));
        });
    return std::string(id_bytes(type, value));
}

std::string id_text_of(KeyType type, std::string_view bytes)
{
    if (type == KeyType::text)
        return std::string(bytes);
    const char *const text = pg::call(
        [&]
        {
            const Datum value = id_datum(type, bytes);
            return DatumGetCString(type == KeyType::uuid ? DirectFunctionCall1(uuid_out, value)
                                                         : DirectFunctionCall1(int8out, value));
        });
    return text;
}

} // namespace query
