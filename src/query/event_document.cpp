#include "query/event_document.hpp"

namespace query
{

namespace
{

// The document is written straight in jsonb's own form (utils/jsonb.h, convertJsonbObject() in utils/adt/jsonb_util.c): a header,
// an entry for each key and then for each value, the keys, the values. A container's bytes do not depend on where they stand, so
// `data` and `metadata` are copied as they are; going through pushJsonbValue() would take each of them apart and sort its keys
// again, which costs more than most updaters.

struct Member
{
    const char *key;
    uint32 key_length;
    uint32 kind; // JENTRY_IS..
    const void *value;
    uint32 length;
    bool aligned;
};

constexpr int most_members = 6;

// jsonb orders keys by their length, then by their bytes; members are added in this order:
//     data, type, stream, metadata, position, occurredAt
struct Members
{
    Member list[most_members];
    int count = 0;

    template <size_t size>
    void add(const char (&key)[size], uint32 kind, const void *value, size_t length, bool aligned)
    {
        list[count++] = {key, static_cast<uint32>(size - 1), kind, value, static_cast<uint32>(length), aligned};
    }
    template <size_t size>
    void add_null(const char (&key)[size])
    {
        add(key, JENTRY_ISNULL, nullptr, 0, false);
    }
};

template <size_t size>
void add_text(Members &members, const char (&key)[size], const EventValues &event, EventColumn column)
{
    if (event.nulls[column])
    {
        members.add_null(key);
        return;
    }
    const text *const value = DatumGetTextPP(event.values[column]);
    members.add(key, JENTRY_ISSTRING, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), false);
}

template <size_t size>
void add_document(Members &members, const char (&key)[size], Datum value)
{
    Jsonb *const document = DatumGetJsonbP(value);
    if (!JB_ROOT_IS_SCALAR(document))
    {
        members.add(key, JENTRY_ISCONTAINER, &document->root, VARSIZE(document) - VARHDRSZ, true);
        return;
    }
    // A scalar at the root is an array of one that is marked as such.
    JsonbValue scalar;
    if (!JsonbExtractScalar(&document->root, &scalar))
        elog(ERROR, "unexpected form of a jsonb scalar");
    switch (scalar.type)
    {
    case jbvString:
        members.add(key, JENTRY_ISSTRING, scalar.val.string.val, static_cast<size_t>(scalar.val.string.len), false);
        break;
    case jbvNumeric:
        members.add(key, JENTRY_ISNUMERIC, scalar.val.numeric, VARSIZE_ANY(scalar.val.numeric), true);
        break;
    case jbvBool:
        members.add(key, scalar.val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE, nullptr, 0, false);
        break;
    default:
        members.add_null(key);
        break;
    }
}

Datum assemble(const Members &members)
{
    const size_t entries = 2 * static_cast<size_t>(members.count);
    static_assert(2 * most_members < JB_OFFSET_STRIDE, "only the first entry holds an offset instead of a length");
    const size_t head = VARHDRSZ + sizeof(uint32) + entries * sizeof(JEntry);
    size_t most = head;
    for (int i = 0; i < members.count; i++)
        most += members.list[i].key_length + members.list[i].length + sizeof(uint32);
    if (most > JENTRY_OFFLENMASK)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the event's document is too large for jsonb"),
                        errdetail("It takes up to %zu bytes; the limit is %u.", most, JENTRY_OFFLENMASK)));

    auto *const start = static_cast<char *>(palloc(most));
    auto *const container = reinterpret_cast<JsonbContainer *>(start + VARHDRSZ);
    container->header = static_cast<uint32>(members.count) | JB_FOBJECT;
    char *at = start + head;
    for (int i = 0; i < members.count; i++)
    {
        const Member &member = members.list[i];
        container->children[i] = JENTRY_ISSTRING | member.key_length | (i == 0 ? JENTRY_HAS_OFF : 0);
        std::memcpy(at, member.key, member.key_length);
        at += member.key_length;
    }
    for (int i = 0; i < members.count; i++)
    {
        const Member &member = members.list[i];
        const char *const before = at;
        if (member.aligned)
            while ((at - start) % sizeof(uint32) != 0)
                *at++ = '\0';
        if (member.length > 0)
            std::memcpy(at, member.value, member.length);
        at += member.length;
        container->children[members.count + i] = member.kind | static_cast<uint32>(at - before);
    }
    SET_VARSIZE(start, at - start);
    return PointerGetDatum(start);
}

} // namespace

char *rfc3339(TimestampTz timestamp)
{
    struct pg_tm time;
    fsec_t microseconds;
    if (TIMESTAMP_NOT_FINITE(timestamp))
        return pstrdup(TIMESTAMP_IS_NOBEGIN(timestamp) ? "-infinity" : "infinity");
    if (timestamp2tm(timestamp, nullptr, &time, &microseconds, nullptr, nullptr) != 0)
        ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
    const char *const sign = time.tm_year < 0 ? "-" : ""; // as ISO 8601 counts: 0 is 1 BC
    return psprintf("%s%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", sign, std::abs(time.tm_year), time.tm_mon, time.tm_mday,
                    time.tm_hour, time.tm_min, time.tm_sec, microseconds);
}

Datum event_document(const EventValues &event)
{
    Members members;
    if (event.nulls[column_data])
        members.add_null("data");
    else
        add_document(members, "data", event.values[column_data]);
    add_text(members, "type", event, column_type);
    add_text(members, "stream", event, column_stream);
    if (!event.nulls[column_metadata])
        add_document(members, "metadata", event.values[column_metadata]);
    const Numeric position = int64_to_numeric(DatumGetInt64(event.values[column_position]));
    members.add("position", JENTRY_ISNUMERIC, position, VARSIZE_ANY(position), true);
    if (!event.nulls[column_occurred_at])
    {
        const char *const time = rfc3339(DatumGetTimestampTz(event.values[column_occurred_at]));
        members.add("occurredAt", JENTRY_ISSTRING, time, std::strlen(time), false);
    }
    return assemble(members);
}

} // namespace query
