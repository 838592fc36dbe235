// SQL from C++: a connection for a scope, statements that are prepared once, and their rows.
#pragma once

#include "pg/guard.hpp"
#include "pg/text.hpp"

namespace pg
{

// An SPI connection for a scope. Memory that is to outlive it is allocated in the context that was current before.
class Spi
{
public:
    explicit Spi(bool nonatomic = false);
    ~Spi();
    Spi(const Spi &) = delete;
    Spi &operator=(const Spi &) = delete;

private:
    int exceptions;
};

// Arguments of a statement, in order.
class Args
{
public:
    Args &add(Oid type, Datum value)
    {
        types.push_back(type);
        values.push_back(value);
        nulls.push_back(' ');
        return *this;
    }
    Args &null(Oid type)
    {
        types.push_back(type);
        values.push_back(0);
        nulls.push_back('n');
        return *this;
    }
    Args &text(std::string_view value) { return add(TEXTOID, text_datum(value)); }
    Args &text(const std::optional<std::string> &value)
    {
        return value ? text(std::string_view(*value)) : null(TEXTOID);
    }
    Args &text(const std::string &value) { return text(std::string_view(value)); }
    Args &text(const char *value) { return text(std::string_view(value)); }
    Args &bigint(int64 value) { return add(INT8OID, Int64GetDatum(value)); }
    Args &bigint(const std::optional<int64> &value) { return value ? bigint(*value) : null(INT8OID); }
    Args &integer(int32 value) { return add(INT4OID, Int32GetDatum(value)); }
    Args &integer(const std::optional<int32> &value) { return value ? integer(*value) : null(INT4OID); }
    Args &boolean(bool value) { return add(BOOLOID, BoolGetDatum(value)); }
    Args &oid(Oid value) { return add(OIDOID, ObjectIdGetDatum(value)); }
    Args &regclass(Oid value) { return add(REGCLASSOID, ObjectIdGetDatum(value)); }

    std::vector<Oid> types;
    std::vector<Datum> values;
    std::string nulls;
};

// The rows of a finished statement; valid until the Spi connection ends.
class Rows
{
public:
    Rows(SPITupleTable *table_, uint64 count_) : table(table_), count(count_) {}

    uint64 size() const { return count; }
    bool empty() const { return count == 0; }
    TupleDesc descriptor() const { return table->tupdesc; }

    // All columns of a row at once.
    void deform(uint64 row, Datum *values, bool *nulls) const
    {
        heap_deform_tuple(table->vals[row], table->tupdesc, values, nulls);
    }

    // Column numbers start at 1, as in PostgreSQL.
    std::optional<Datum> get(uint64 row, int column) const
    {
        bool is_null = false;
        const Datum value = SPI_getbinval(table->vals[row], table->tupdesc, column, &is_null);
        if (is_null)
            return std::nullopt;
        return value;
    }
    std::optional<std::string> text(uint64 row, int column) const
    {
        const std::optional<Datum> value = get(row, column);
        if (!value)
            return std::nullopt;
        return text_of(*value);
    }
    std::optional<int64> bigint(uint64 row, int column) const
    {
        const std::optional<Datum> value = get(row, column);
        return value ? std::optional<int64>(DatumGetInt64(*value)) : std::nullopt;
    }
    std::optional<int32> integer(uint64 row, int column) const
    {
        const std::optional<Datum> value = get(row, column);
        return value ? std::optional<int32>(DatumGetInt32(*value)) : std::nullopt;
    }
    Oid oid(uint64 row, int column) const
    {
        const std::optional<Datum> value = get(row, column);
        return value ? DatumGetObjectId(*value) : InvalidOid;
    }
    bool boolean(uint64 row, int column) const
    {
        const std::optional<Datum> value = get(row, column);
        return value && DatumGetBool(*value);
    }

    // Gives the memory back before the connection ends.
    void free()
    {
        if (table)
            call([this] { SPI_freetuptable(table); });
        table = nullptr;
        count = 0;
    }

private:
    SPITupleTable *table;
    uint64 count;
};

// Runs one statement, planned anew. `read_only` uses the active snapshot; otherwise a new one is taken.
Rows execute(const std::string &sql, const Args &args = {}, bool read_only = false, long limit = 0);

// A statement that is prepared at its first use and kept as long as the process or this object lives.
class Statement
{
public:
    explicit Statement(std::string text) : sql(std::move(text)) {}
    Statement(Statement &&other) noexcept : sql(std::move(other.sql)), plan(std::exchange(other.plan, nullptr)) {}
    Statement &operator=(Statement &&other) noexcept
    {
        std::swap(sql, other.sql);
        std::swap(plan, other.plan);
        return *this;
    }
    ~Statement();

    Rows execute(const Args &args = {}, bool read_only = false, long limit = 0);

    // For whoever looks at the plan instead of running it.
    SPIPlanPtr prepared(const Args &args);

private:
    std::string sql;
    SPIPlanPtr plan = nullptr;
};

} // namespace pg
