// Text between C++ and PostgreSQL, and SQL built from names: always through these.
#pragma once

#include "pg/guard.hpp"

namespace pg
{

inline std::string text_of(Datum datum)
{
    const char *cstring = call([&] { return TextDatumGetCString(datum); });
    return cstring;
}

// The members of a text[] without nulls.
std::vector<std::string> texts_of(Datum array);

inline Datum text_datum(std::string_view value)
{
    return call([&]
                { return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size()))); });
}

// "name" as SQL needs it, quoted where it must be.
inline std::string quoted(std::string_view name)
{
    const std::string copy(name);
    const char *result = call([&] { return quote_identifier(copy.c_str()); });
    return result;
}

inline std::string quoted(std::string_view schema, std::string_view name)
{
    return quoted(schema) + "." + quoted(name);
}

inline std::string quoted_literal(std::string_view value)
{
    const std::string copy(value);
    const char *result = call([&] { return quote_literal_cstr(copy.c_str()); });
    return result;
}

// schema.name of a relation, quoted; empty if it is gone.
std::string relation_name(Oid relation);

// "name" in double quotes, as messages show it.
inline std::string shown(std::string_view name)
{
    return "\"" + std::string(name) + "\"";
}

} // namespace pg
