// readmodel.fold(): folds events that are given with the call, for tests of an updater. It needs no table and no source.

#include "pg/memory.hpp"
#include "pg/transaction.hpp"
#include "query/arguments.hpp"
#include "query/definition.hpp"
#include "query/instance_id.hpp"
#include "query/replay.hpp"
#include "query/replay_subject.hpp"
#include "query/result_row.hpp"

namespace query
{

namespace
{

void refuse_event [[noreturn]] (int number, const char *what)
{
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event %d of argument \"events\" %s", number, what),
             errhint("An event is an object with the members \"type\", \"data\", \"metadata\", \"position\", "
                     "\"stream\" and \"occurredAt\"; only \"type\" is needed.")));
    pg_unreachable();
}

bool is_key(const JsonbValue &key, std::string_view name)
{
    return std::string_view(key.val.string.val, static_cast<size_t>(key.val.string.len)) == name;
}

Datum text_in(const JsonbValue &value, int number, const char *member)
{
    if (value.type != jbvString)
        refuse_event(number, psprintf("has a \"%s\" that is no string", member));
    return PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len));
}

void set(EventValues *event, EventColumn column, Datum value)
{
    event->values[column] = value;
    event->nulls[column] = false;
}

Datum position_in(const JsonbValue &value, int number)
{
    if (value.type != jbvNumeric)
        refuse_event(number, "has a \"position\" that is no number");
    const Datum number_given = NumericGetDatum(value.val.numeric);
    const Datum position = DirectFunctionCall1(numeric_int8, number_given);
    if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number_given, DirectFunctionCall1(int8_numeric, position))))
        refuse_event(number, "has a \"position\" that is no whole number");
    return position;
}

// Raises as PostgreSQL does; what it makes lives in CurrentMemoryContext. `position`: of the event before.
void read_event(const JsonbValue *given, int number, Position *position, EventValues *event)
{
    if (given->type != jbvBinary || !JsonContainerIsObject(given->val.binary.data))
        refuse_event(number, "is not an object");
    std::fill(std::begin(event->nulls), std::end(event->nulls), true);
    const Position before = *position;
    set(event, column_position, Int64GetDatum(before + 1));
    set(event, column_data, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));

    JsonbIterator *iterator = JsonbIteratorInit(given->val.binary.data);
    JsonbValue key;
    JsonbValue value;
    JsonbIteratorNext(&iterator, &key, true); // the object's beginning
    while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
    {
        JsonbIteratorNext(&iterator, &value, true);
        if (is_key(key, "type"))
            set(event, column_type, text_in(value, number, "type"));
        else if (is_key(key, "data"))
            set(event, column_data, JsonbPGetDatum(JsonbValueToJsonb(&value)));
        else if (is_key(key, "position"))
            set(event, column_position, position_in(value, number));
        else if (is_key(key, "metadata"))
        {
            if (value.type != jbvNull)
                set(event, column_metadata, JsonbPGetDatum(JsonbValueToJsonb(&value)));
        }
        else if (is_key(key, "stream"))
        {
            if (value.type != jbvNull)
                set(event, column_stream, text_in(value, number, "stream"));
        }
        else if (is_key(key, "occurredAt"))
        {
            if (value.type != jbvNull)
                set(event, column_occurred_at,
                    DirectFunctionCall3(
                        timestamptz_in,
                        CStringGetDatum(text_to_cstring(DatumGetTextPP(text_in(value, number, "occurredAt")))),
                        ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
        }
        else
            refuse_event(number, psprintf("has an unknown member \"%.*s\"", key.val.string.len, key.val.string.val));
    }
    if (event->nulls[column_type])
        refuse_event(number, "has no \"type\"");
    *position = DatumGetInt64(event->values[column_position]);
    if (number > 1 && *position <= before)
        refuse_event(number, psprintf("has position %lld, which is not above that of the event before it, %lld",
                                      static_cast<long long>(*position), static_cast<long long>(before)));
}

void read_events(Datum given, source::PageContent &content)
{
    pg::call(
        [&]
        {
            Jsonb *const events = DatumGetJsonbP(given);
            if (!JB_ROOT_IS_ARRAY(events) || JB_ROOT_IS_SCALAR(events))
                ereport(ERROR,
                        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"events\" must be a JSON array"),
                         errhint("Write [{\"type\": .., \"data\": ..}, ..], also for a single event.")));
            const int count = static_cast<int>(JB_ROOT_COUNT(events));
            JsonbIterator *iterator = JsonbIteratorInit(&events->root);
            JsonbValue event;
            JsonbIteratorNext(&iterator, &event, true);
            Position position = 0;
            for (int number = 1; number <= count; number++)
            {
                JsonbIteratorNext(&iterator, &event, true);
                read_event(&event, number, &position, &content.events.emplace_back());
                content.positions.push_back(position);
            }
        });
}

Datum fold(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    require_argument(fcinfo, 0, "events");
    DefinitionArguments arguments;
    arguments.updater = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
    arguments.key = maybe_text_argument(fcinfo, 2);
    if (!PG_ARGISNULL(3))
        arguments.spec = PG_GETARG_DATUM(3);

    Generation generation;
    generation.query_name = "fold";
    generation.owner = GetUserId();
    generation.definition = check_definition_alone(arguments);

    source::PageContent content;
    {
        const pg::AsUser pinned(GetUserId(), false);
        pg::pin_surroundings(generation.definition.search_path);
        read_events(PG_GETARG_DATUM(0), content);
    }
    Replay replay(generation, InstanceShare(), false);
    if (const std::optional<Replay::Failure> failure =
            replay.fold(source::EventPage(content, pg::Rows(nullptr, 0), true), std::nullopt))
        raise_failure(*failure);

    std::vector<StateCache::Entry *> entries = replay.states().dirty_entries();
    std::sort(entries.begin(), entries.end(),
              [&](const StateCache::Entry *a, const StateCache::Entry *b)
              { return id_before(generation.definition.key_type, a->first, b->first); });
    for (const StateCache::Entry *const entry : entries)
    {
        if (!entry->second.exists)
            continue;
        ResultRow<2> row;
        row.text(0, id_text_of(generation.definition.key_type, entry->first));
        row.set(1, document_datum(document_of(replay.states(), *entry)));
        row.put(fcinfo);
    }
    return 0;
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_fold, query::fold);
