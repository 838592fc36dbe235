#include "http/row_json.hpp"

#include <charconv>
#include <cstdint>
#include <string_view>

#include "http/response.hpp"

namespace http
{

namespace
{

// Of PostgreSQL's catalog; they never change.
enum Type : Oid
{
    type_bool = 16,
    type_int8 = 20,
    type_int2 = 21,
    type_int4 = 23,
    type_json = 114,
    type_float8 = 701,
    type_jsonb = 3802,
};

constexpr int64_t exact_limit = int64_t{1} << 53;

void append_name(std::string &out, std::string_view column)
{
    out += '"';
    for (size_t i = 0; i < column.size(); i++)
    {
        const bool raised = column[i] == '_' && i + 1 < column.size();
        if (raised)
            i++;
        const char c = column[i];
        out += raised && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    out += '"';
}

void append_integer(std::string &out, std::string_view text)
{
    int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    if (value > -exact_limit && value < exact_limit)
        out += text;
    else
        append_json(out, text);
}

void append_value(std::string &out, Oid type, std::string_view text)
{
    switch (type)
    {
    case type_int2:
    case type_int4:
    case type_int8:
        return append_integer(out, text);
    case type_bool:
        out += text == "t" ? "true" : "false";
        return;
    case type_float8:
        out += json_number(text);
        return;
    case type_json:
    case type_jsonb:
        out += text;
        return;
    default:
        append_json(out, text);
    }
}

} // namespace

void append_row_json(std::string &out, const PGresult *result, int row)
{
    out += '{';
    for (int column = 0; column < PQnfields(result); column++)
    {
        if (column > 0)
            out += ',';
        append_name(out, PQfname(result, column));
        out += ':';
        if (PQgetisnull(result, row, column))
            out += "null";
        else
            append_value(out, PQftype(result, column),
                         {PQgetvalue(result, row, column), static_cast<size_t>(PQgetlength(result, row, column))});
    }
    out += '}';
}

void append_rows_json(std::string &out, const PGresult *result)
{
    out += '[';
    for (int row = 0; row < PQntuples(result); row++)
    {
        if (row > 0)
            out += ',';
        append_row_json(out, result, row);
    }
    out += ']';
}

} // namespace http
