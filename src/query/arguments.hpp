// Arguments of SQL functions that are not STRICT.
#pragma once

#include "pg/guard.hpp"
#include "pg/text.hpp"

namespace query
{

inline std::optional<std::string> maybe_text_argument(FunctionCallInfo fcinfo, int number)
{
    if (PG_ARGISNULL(number))
        return std::nullopt;
    return pg::text_of(PG_GETARG_DATUM(number));
}

// Throws 22004 with the argument's name.
inline void require_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
    if (PG_ARGISNULL(number))
        throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string("argument \"") + name + "\" must not be null");
}

inline std::string text_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
    require_argument(fcinfo, number, name);
    return *maybe_text_argument(fcinfo, number);
}

// The members of a text[], as datums.
inline std::vector<NullableDatum> elements_of(ArrayType *array)
{
    struct
    {
        Datum *elements;
        bool *nulls;
        int count;
    } found = {};
    pg::call(
        [&]
        { deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &found.elements, &found.nulls, &found.count); });
    std::vector<NullableDatum> members;
    members.reserve(static_cast<size_t>(found.count));
    for (int i = 0; i < found.count; i++)
        members.push_back({found.elements[i], found.nulls[i]});
    return members;
}

inline std::vector<std::optional<std::string>> texts_and_nulls_of(ArrayType *array)
{
    std::vector<std::optional<std::string>> members;
    for (const NullableDatum &member : elements_of(array))
        members.push_back(member.isnull ? std::nullopt : std::optional<std::string>(pg::text_of(member.value)));
    return members;
}

} // namespace query
