// readmodel.read_state() and read_states(): states together with what a reader has to be told of them, for the HTTP service. Where
// get() raises, they answer with the status. Status and states come from one snapshot.

#include "query/arguments.hpp"
#include "query/result_row.hpp"
#include "query/source_edges.hpp"
#include "query/state_reading.hpp"

namespace
{

using namespace query;

// In the order of the functions' columns (schema/45-http.sql); read_state() has no id.
enum Column
{
    column_status,
    column_reason,
    column_generation,
    column_definition_hash,
    column_position,
    column_estimated_seconds_remaining,
    column_state,
    column_state_position,
    column_updated_at,
    column_id,
    column_count
};

using Row = ResultRow<column_count>;

// The query of that name, as far as the current user may read it.
catalog::QueryRow readable_query(FunctionCallInfo fcinfo)
{
    catalog::QueryRow query = wanted_query(text_argument(fcinfo, 0, "name"));
    require_select(query);
    return query;
}

std::optional<double> seconds_left(const catalog::QueryRow &query, const Standing &standing)
{
    if (standing.status != Status::rebuilding || !standing.held)
        return std::nullopt; // without looking into the event table
    return estimated_seconds(standing, SourceEdges().lag(query.source_id, standing.position));
}

Row row_of(const catalog::QueryRow &query, const Readable &readable)
{
    Row row;
    row.text(column_status, answered_as(readable));
    if (!readable.standing.reason.empty())
        row.text(column_reason, readable.standing.reason);
    row.set(column_generation, Int32GetDatum(readable.generation.number));
    row.text(column_definition_hash, readable.generation.definition_hash);
    row.bigint(column_position, readable.standing.position);
    if (!readable.ready())
        if (const std::optional<double> seconds = seconds_left(query, readable.standing))
            row.number(column_estimated_seconds_remaining, *seconds);
    return row;
}

void add_state(Row &row, const StateRow &state)
{
    row.set(column_state, state.state);
    row.set(column_state_position, Int64GetDatum(state.position));
    row.set(column_updated_at, TimestampTzGetDatum(state.updated_at));
}

// The row type of read_state(). Made once: to derive it from the function's catalog row takes longer than to find a state.
TupleDesc state_row_type()
{
    static TupleDesc type = nullptr;
    if (!type)
        type = pg::call(
            []
            {
                const MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
                TupleDesc made = CreateTemplateTupleDesc(column_id);
                const auto add = [&](Column column, const char *name, Oid column_type)
                { TupleDescInitEntry(made, static_cast<AttrNumber>(column + 1), name, column_type, -1, 0); };
                add(column_status, "status", TEXTOID);
                add(column_reason, "reason", TEXTOID);
                add(column_generation, "generation", INT4OID);
                add(column_definition_hash, "definition_hash", TEXTOID);
                add(column_position, "position", INT8OID);
                add(column_estimated_seconds_remaining, "estimated_seconds_remaining", FLOAT8OID);
                add(column_state, "state", JSONBOID);
                add(column_state_position, "state_position", INT8OID);
                add(column_updated_at, "updated_at", TIMESTAMPTZOID);
                made = BlessTupleDesc(made);
                MemoryContextSwitchTo(previous);
                return made;
            });
    return type;
}

Datum read_state(FunctionCallInfo fcinfo)
{
    const catalog::QueryRow query = readable_query(fcinfo);
    const Readable readable = readable_generation(server_facts(), query, maybe_text_argument(fcinfo, 2));
    Row row = row_of(query, readable);
    if (readable.ready() && !PG_ARGISNULL(1))
        if (const std::optional<StateRow> state = state_of(query, readable.generation, {TEXTOID, PG_GETARG_DATUM(1)}))
            add_state(row, *state);
    TupleDesc const type = state_row_type();
    return pg::call([&] { return HeapTupleGetDatum(heap_form_tuple(type, row.values, row.nulls)); });
}

Datum read_states(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    require_argument(fcinfo, 2, "max_rows");
    const int32 most = PG_GETARG_INT32(2);
    if (most < 1)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"max_rows\" must be at least 1");
    const catalog::QueryRow query = readable_query(fcinfo);
    const Readable readable = readable_generation(server_facts(), query, maybe_text_argument(fcinfo, 3));
    Row row = row_of(query, readable);
    bool any = false;
    if (readable.ready())
    {
        const std::optional<Id> after =
            PG_ARGISNULL(1) ? std::nullopt : std::optional<Id>({TEXTOID, PG_GETARG_DATUM(1)});
        states_after(query, readable.generation, after, most,
                     [&](Datum id, const StateRow &state)
                     {
                         row.set(column_id, id);
                         add_state(row, state);
                         row.put(fcinfo);
                         any = true;
                     });
    }
    if (!any)
        row.put(fcinfo);
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_read_state, read_state);
READMODEL_FUNCTION(readmodel_read_states, read_states);
