// readmodel.generations(): the builds of one query that are kept.

#include "query/arguments.hpp"
#include "query/readiness.hpp"
#include "query/result_row.hpp"

namespace
{

using namespace query;

// In the order of the function's columns (schema/40-reading.sql).
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

Datum generations(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const catalog::QueryRow query = visible_query(text_argument(fcinfo, 0, "name"));
    const ServerFacts server = server_facts();
    for (const catalog::GenerationRow &generation : catalog::generations_of(query.id))
    {
        if (!generation.has_states())
            continue; // only remembered
        const Standing standing = standing_of(server, query, generation);
        ResultRow<column_count> row;
        row.set(column_generation, Int32GetDatum(generation.number));
        row.text(column_definition_hash, generation.definition_hash);
        row.text(column_status, name_of(standing.status));
        row.set(column_serving, BoolGetDatum(generation.number == query.serving));
        row.bigint(column_position, standing.position);
        row.bigint(column_bytes, bytes_of_states(generation.state_table));
        row.time(column_defined_at, generation.defined_at);
        row.time(column_ready_at, generation.ready_at);
        row.put(fcinfo);
    }
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_generations, generations);
