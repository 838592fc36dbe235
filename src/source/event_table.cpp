// create_event_table(): an event table that needs no mapping.

#include "pg/spi.hpp"

namespace source
{

namespace
{

struct TableName
{
    Oid schema;
    const char *schema_name;
    const char *name;
};

// The schema as CREATE TABLE would choose it: from a qualified name, or the first one in the caller's search_path.
TableName resolve(text *qualified)
{
    RangeVar *const range = makeRangeVarFromNameList(textToQualifiedNameList(qualified));
    const Oid schema = RangeVarGetCreationNamespace(range);
    return {schema, get_namespace_name(schema), range->relname};
}

// Every name is written out, so that nothing in the caller's search_path comes in between. The rights are the caller's.
Datum create_event_table(FunctionCallInfo fcinfo)
{
    if (PG_ARGISNULL(0))
        throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "argument \"event_table\" must not be null");
    const TableName table = pg::call([&] { return resolve(PG_GETARG_TEXT_PP(0)); });
    if (!table.schema_name)
        throw pg::Error(ERRCODE_UNDEFINED_SCHEMA, "the schema of the new event table does not exist any more");
    const pg::Spi spi;
    pg::execute("CREATE TABLE " + pg::quoted(table.schema_name, table.name) +
                " (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                " event_id pg_catalog.uuid UNIQUE DEFAULT pg_catalog.gen_random_uuid(),"
                " stream_id pg_catalog.text,"
                " version bigint,"
                " type pg_catalog.text,"
                " data pg_catalog.jsonb,"
                " metadata pg_catalog.jsonb,"
                " occurred_at timestamp with time zone DEFAULT pg_catalog.now(),"
                " UNIQUE (stream_id, version))");
    return ObjectIdGetDatum(pg::call([&] { return get_relname_relid(table.name, table.schema); }));
}

} // namespace

} // namespace source

READMODEL_FUNCTION(readmodel_create_event_table, source::create_event_table);
