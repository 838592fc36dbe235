// readmodel.read_state(), read_states_by_id() and read_states(): states together with what a reader has to be told of them, for the HTTP service. Where
// get() raises, they answer with the status. Status and states come from one snapshot.

#include "pg/memory.hpp"
#include "query/arguments.hpp"
#include "query/result_row.hpp"
#include "query/source_edges.hpp"
#include "query/state_reading.hpp"

namespace
{

using namespace query;

// In the order of the functions' columns (schema/45-http.sql); only read_states() has the id.
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

// What a name, and perhaps a definition hash, stand for.
struct Subject
{
    std::optional<catalog::QueryRow> query;
    std::optional<Readable> readable; // if the query has the generation that was asked for

    bool ready() const { return readable && readable->ready(); }
};

// Throws 42501 where the current user may not read the states of the query.
Subject subject_of(const std::string &name, const std::optional<std::string> &definition_hash)
{
    Subject subject{catalog::find_query(name), {}};
    if (!subject.query)
        return subject;
    require_select(*subject.query);
    const ServerFacts server = server_facts();
    if (std::optional<catalog::GenerationRow> asked = find_wanted_generation(server, *subject.query, definition_hash))
        subject.readable = readable_generation(server, *subject.query, std::move(*asked), definition_hash.has_value());
    return subject;
}

std::optional<double> seconds_left(const catalog::QueryRow &query, const Standing &standing)
{
    if (standing.status != Status::rebuilding || !standing.held)
        return std::nullopt; // without looking into the event table
    return estimated_seconds(standing, SourceEdges().lag(query.source_id, standing.position));
}

Row row_of(const Subject &subject)
{
    Row row;
    if (!subject.readable)
    {
        row.text(column_status, "unknown");
        row.text(column_reason, subject.query ? "definition_hash" : "query");
        return row;
    }
    const Readable &readable = *subject.readable;
    row.text(column_status, answered_as(readable));
    if (!readable.standing.reason.empty())
        row.text(column_reason, readable.standing.reason);
    row.set(column_generation, Int32GetDatum(readable.generation.number));
    row.text(column_definition_hash, readable.generation.definition_hash);
    row.bigint(column_position, readable.standing.position);
    if (!readable.ready())
        if (const std::optional<double> seconds = seconds_left(*subject.query, readable.standing))
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

// The id that this text stands for. Nothing for one that is none of the generation's, which is the row's reason then.
std::optional<Id> id_of(Datum text, const Readable &readable, Row &row)
{
    const std::optional<Id> id = id_of_text(text, readable.generation.key_type);
    if (!id)
        row.text(column_reason, "invalid_id");
    return id;
}

// The row for one id, from that for all.
Row with_state(Row row, const Subject &subject, const NullableDatum &text)
{
    if (subject.ready() && !text.isnull)
        if (const std::optional<Id> id = id_of(text.value, *subject.readable, row))
            if (const std::optional<StateRow> state = state_of(*subject.query, subject.readable->generation, *id))
                add_state(row, *state);
    return row;
}

Datum read_state(FunctionCallInfo fcinfo)
{
    const Subject subject = subject_of(text_argument(fcinfo, 0, "name"), maybe_text_argument(fcinfo, 2));
    Row row = with_state(row_of(subject), subject, fcinfo->args[1]);
    TupleDesc const type = state_row_type();
    return pg::call([&] { return HeapTupleGetDatum(heap_form_tuple(type, row.values, row.nulls)); });
}

Datum read_states_by_id(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    require_argument(fcinfo, 1, "ids");
    ArrayType *const array = pg::call([&] { return PG_GETARG_ARRAYTYPE_P(1); });
    const Subject subject = subject_of(text_argument(fcinfo, 0, "name"), maybe_text_argument(fcinfo, 2));
    const Row row = row_of(subject);
    pg::OwnedContext memory(CurrentMemoryContext); // of one state
    for (const NullableDatum &id : elements_of(array))
    {
        pg::call([] { CHECK_FOR_INTERRUPTS(); });
        {
            const pg::InContext of_this_one(memory.get());
            with_state(row, subject, id).put(fcinfo);
        }
        memory.reset();
    }
    return 0;
}

// Adds the rows of a page, and says how many.
int put_page(FunctionCallInfo fcinfo, const Subject &subject, int most, Row &row)
{
    std::optional<Id> after;
    if (!PG_ARGISNULL(1))
    {
        after = id_of(fcinfo->args[1].value, *subject.readable, row);
        if (!after)
            return 0;
    }
    int rows = 0;
    states_after(*subject.query, subject.readable->generation, after, most,
                 [&](Datum id, const StateRow &state)
                 {
                     row.set(column_id, id);
                     add_state(row, state);
                     row.put(fcinfo);
                     rows++;
                 });
    return rows;
}

Datum read_states(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    require_argument(fcinfo, 2, "max_rows");
    const int32 most = PG_GETARG_INT32(2);
    if (most < 1)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"max_rows\" must be at least 1");
    const Subject subject = subject_of(text_argument(fcinfo, 0, "name"), maybe_text_argument(fcinfo, 3));
    Row row = row_of(subject);
    if (!subject.ready() || put_page(fcinfo, subject, most, row) == 0)
        row.put(fcinfo);
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_read_state, read_state);
READMODEL_FUNCTION(readmodel_read_states_by_id, read_states_by_id);
READMODEL_FUNCTION(readmodel_read_states, read_states);
