#include "query/event_document.hpp"

namespace query
{

namespace
{

void push_key(JsonbParseState **state, const char *name, int length)
{
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>(name);
    key.val.string.len = length;
    pushJsonbValue(state, WJB_KEY, &key);
}

template <size_t size> void push_key(JsonbParseState **state, const char (&name)[size])
{
    push_key(state, name, static_cast<int>(size) - 1);
}

void push_text(JsonbParseState **state, const EventValues &event, EventColumn column)
{
    JsonbValue value;
    if (event.nulls[column])
        value.type = jbvNull;
    else
    {
        text *const source = DatumGetTextPP(event.values[column]);
        value.type = jbvString;
        value.val.string.val = VARDATA_ANY(source);
        value.val.string.len = static_cast<int>(VARSIZE_ANY_EXHDR(source));
    }
    pushJsonbValue(state, WJB_VALUE, &value);
}

void push_document(JsonbParseState **state, const EventValues &event, EventColumn column)
{
    JsonbValue value;
    if (event.nulls[column])
        value.type = jbvNull;
    else
    {
        Jsonb *const document = DatumGetJsonbP(event.values[column]);
        value.type = jbvBinary;
        value.val.binary.data = &document->root;
        value.val.binary.len = static_cast<int>(VARSIZE(document) - VARHDRSZ);
    }
    pushJsonbValue(state, WJB_VALUE, &value);
}

// RFC 3339 in UTC with microseconds. Infinite times have no such form: they print as PostgreSQL prints them.
char *rfc3339(TimestampTz timestamp, int *length)
{
    struct pg_tm time;
    fsec_t microseconds;
    if (TIMESTAMP_NOT_FINITE(timestamp))
    {
        char *const text = pstrdup(TIMESTAMP_IS_NOBEGIN(timestamp) ? "-infinity" : "infinity");
        *length = static_cast<int>(std::strlen(text));
        return text;
    }
    if (timestamp2tm(timestamp, nullptr, &time, &microseconds, nullptr, nullptr) != 0)
        ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
    char *const text = psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", time.tm_year, time.tm_mon, time.tm_mday,
                                time.tm_hour, time.tm_min, time.tm_sec, microseconds);
    *length = static_cast<int>(std::strlen(text));
    return text;
}

} // namespace

Datum event_document(const EventValues &event)
{
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);

    push_key(&state, "position");
    JsonbValue position;
    position.type = jbvNumeric;
    position.val.numeric = int64_to_numeric(DatumGetInt64(event.values[column_position]));
    pushJsonbValue(&state, WJB_VALUE, &position);

    push_key(&state, "type");
    push_text(&state, event, column_type);
    push_key(&state, "stream");
    push_text(&state, event, column_stream);
    push_key(&state, "data");
    push_document(&state, event, column_data);
    if (!event.nulls[column_metadata])
    {
        push_key(&state, "metadata");
        push_document(&state, event, column_metadata);
    }
    if (!event.nulls[column_occurred_at])
    {
        push_key(&state, "occurredAt");
        JsonbValue time;
        time.type = jbvString;
        time.val.string.val = rfc3339(DatumGetTimestampTz(event.values[column_occurred_at]), &time.val.string.len);
        pushJsonbValue(&state, WJB_VALUE, &time);
    }
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

} // namespace query
