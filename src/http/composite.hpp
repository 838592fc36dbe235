// A value of a composite type in PostgreSQL's binary form (src/backend/utils/adt/rowtypes.c, record_send): the row that a function
// returns in the list of a SELECT.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace http
{

// Its columns as text, which lasts as long as this and the bytes it was made of. Numbers are digits; a timestamp is a number of
// microseconds.
class Composite
{
public:
    // Throws std::invalid_argument for bytes that are none, or that have a column of another type than those that are known here:
    // text, integer, bigint, double precision, jsonb, timestamptz.
    explicit Composite(std::string_view bytes);

    // Nothing for NULL, and for a column that it does not have.
    std::optional<std::string_view> column(int number) const;

private:
    struct Column
    {
        bool known = false;
        std::string_view text; // unless it is a number
        std::string digits;
    };
    std::vector<Column> columns;
};

} // namespace http
