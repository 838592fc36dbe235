#include "source/event_documents.hpp"

namespace source
{

namespace
{

bool is_key(const JsonbValue &key, std::string_view name)
{
    return std::string_view(key.val.string.val, static_cast<size_t>(key.val.string.len)) == name;
}

const char *kind_of(const JsonbValue &value)
{
    switch (value.type)
    {
    case jbvNull:
        return "null";
    case jbvString:
        return "a string";
    case jbvNumeric:
        return "a number";
    case jbvBool:
        return "a boolean";
    default:
        return JsonContainerIsArray(value.val.binary.data) ? "an array" : "an object";
    }
}

void refuse_event [[noreturn]] (int number, const char *what)
{
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event %d of argument \"events\" %s", number, what),
             errhint("An event is an object with the members \"type\", \"data\" and \"metadata\".")));
    pg_unreachable();
}

void read_event(const JsonbValue &event, int number, EventDocuments *documents)
{
    if (event.type != jbvBinary || !JsonContainerIsObject(event.val.binary.data))
        refuse_event(number, psprintf("is %s, not an object", kind_of(event)));
    const int at = number - 1;
    bool has_type = false;
    bool has_data = false;
    documents->no_metadata[at] = true;

    JsonbIterator *iterator = JsonbIteratorInit(event.val.binary.data);
    JsonbValue key;
    JsonbValue value;
    JsonbIteratorNext(&iterator, &key, true); // the object's beginning
    while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
    {
        JsonbIteratorNext(&iterator, &value, true);
        if (is_key(key, "type"))
        {
            if (value.type != jbvString)
                refuse_event(number, psprintf("has a \"type\" that is %s, not a string", kind_of(value)));
            if (value.val.string.len == 0)
                refuse_event(number, "has an empty \"type\"");
            documents->types[at] =
                PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len));
            has_type = true;
        }
        else if (is_key(key, "data"))
        {
            documents->data[at] = JsonbPGetDatum(JsonbValueToJsonb(&value));
            has_data = true;
        }
        else if (is_key(key, "metadata"))
        {
            if (value.type == jbvNull)
                continue;
            documents->metadata[at] = JsonbPGetDatum(JsonbValueToJsonb(&value));
            documents->no_metadata[at] = false;
        }
        else
            refuse_event(number, psprintf("has an unknown member \"%.*s\"", key.val.string.len, key.val.string.val));
    }
    if (!has_type)
        refuse_event(number, "has no \"type\"");
    if (!has_data)
        documents->data[at] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
}

} // namespace

EventDocuments event_documents(Jsonb *events)
{
    if (!JB_ROOT_IS_ARRAY(events) || JB_ROOT_IS_SCALAR(events))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"events\" must be a JSON array"),
                 errdetail("It is %s.", JB_ROOT_IS_OBJECT(events) ? "an object" : "a scalar"),
                 errhint("Write [{\"type\": .., \"data\": .., \"metadata\": ..}, ..], also for a single event.")));
    const int count = static_cast<int>(JB_ROOT_COUNT(events));
    if (count == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"events\" must not be empty")));

    const auto room = static_cast<Size>(count);
    EventDocuments documents{
        count, static_cast<Datum *>(palloc0(room * sizeof(Datum))), static_cast<Datum *>(palloc0(room * sizeof(Datum))),
        static_cast<Datum *>(palloc0(room * sizeof(Datum))), static_cast<bool *>(palloc0(room * sizeof(bool)))};
    JsonbIterator *iterator = JsonbIteratorInit(&events->root);
    JsonbValue event;
    JsonbIteratorNext(&iterator, &event, true);
    for (int number = 1; number <= count; number++)
    {
        JsonbIteratorNext(&iterator, &event, true);
        read_event(event, number, &documents);
    }
    return documents;
}

} // namespace source
