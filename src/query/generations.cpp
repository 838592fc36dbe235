// readmodel.generations(): a row for each generation of a query.

#include "query/arguments.hpp"
#include "query/catalog.hpp"
#include "query/readiness.hpp"

namespace query
{

namespace
{

// In the order of the function's columns (schema/30-queries.sql).
enum Column
{
    column_generation,
    column_definition_hash,
    column_status,
    column_serving,
    column_position,
    column_bytes,
    column_defined_at,
    column_ready_at,
    column_count
};

struct Size
{
    int32 number;
    std::optional<int64> bytes; // with indexes and TOAST; none if the table is gone
    TimestampTz defined_at;
};

std::vector<Size> sizes_of(int32 query_id)
{
    const CatalogScope scope;
    const pg::Rows rows = pg::execute("SELECT generation, pg_total_relation_size(state_table), defined_at"
                                      "  FROM readmodel_catalog.generation WHERE query_id = $1 ORDER BY generation",
                                      pg::Args().integer(query_id), true);
    std::vector<Size> sizes;
    for (uint64 row = 0; row < rows.size(); row++)
        sizes.push_back({*rows.integer(row, 1), rows.bigint(row, 2), DatumGetTimestampTz(*rows.get(row, 3))});
    return sizes;
}

Datum generations(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    const catalog::QueryRow query = visible_query(text_argument(fcinfo, 0, "name"));
    const ServerFacts server = server_facts();
    for (const Size &size : sizes_of(query.id))
    {
        const std::optional<catalog::GenerationRow> generation = catalog::find_generation(query.id, size.number);
        if (!generation)
            continue;
        const Standing standing = standing_of(server, query, *generation);
        Datum values[column_count] = {};
        bool nulls[column_count] = {};
        values[column_generation] = Int32GetDatum(size.number);
        values[column_definition_hash] = pg::text_datum(generation->definition_hash);
        values[column_status] = pg::text_datum(name_of(standing.status));
        values[column_serving] = BoolGetDatum(size.number == query.serving);
        nulls[column_position] = !standing.position;
        values[column_position] = Int64GetDatum(standing.position.value_or(0));
        nulls[column_bytes] = !size.bytes;
        values[column_bytes] = Int64GetDatum(size.bytes.value_or(0));
        values[column_defined_at] = TimestampTzGetDatum(size.defined_at);
        nulls[column_ready_at] = !generation->ready_at;
        values[column_ready_at] = TimestampTzGetDatum(generation->ready_at.value_or(0));
        pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, values, nulls); });
    }
    return 0;
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_generations, query::generations);
