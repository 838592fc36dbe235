// A row of a set-returning SQL function that materialises its result (InitMaterializedSRF).
#pragma once

#include "pg/guard.hpp"
#include "pg/text.hpp"

namespace query
{

// Columns that nobody sets are NULL.
template <int columns>
struct ResultRow
{
    Datum values[columns] = {};
    bool nulls[columns];

    ResultRow() { std::fill(std::begin(nulls), std::end(nulls), true); }
    void set(int column, Datum value)
    {
        values[column] = value;
        nulls[column] = false;
    }
    void text(int column, std::string_view value) { set(column, pg::text_datum(value)); }
    void bigint(int column, const std::optional<int64> &value)
    {
        if (value)
            set(column, Int64GetDatum(*value));
    }
    void time(int column, const std::optional<TimestampTz> &value)
    {
        if (value)
            set(column, TimestampTzGetDatum(*value));
    }
    void number(int column, double value) { set(column, Float8GetDatum(value)); }

    // Adds the row to the result.
    void put(FunctionCallInfo fcinfo)
    {
        auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
        pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, values, nulls); });
    }
};

} // namespace query
