// readmodel.get(): one state, or the reason why it may not be read. Status and state come from one snapshot.

#include "query/arguments.hpp"
#include "query/state_reading.hpp"

namespace
{

using namespace query;

Datum get(FunctionCallInfo fcinfo, Oid id_type)
{
    const catalog::QueryRow query = wanted_query(text_argument(fcinfo, 0, "name"));
    require_select(query);
    const Readable readable = readable_generation(server_facts(), query, maybe_text_argument(fcinfo, 2));
    if (!readable.ready())
        throw not_readable(query, readable);
    std::optional<StateRow> row;
    if (!PG_ARGISNULL(1))
        row = state_of(query, readable.generation, {id_type, PG_GETARG_DATUM(1)});
    if (!row)
        PG_RETURN_NULL();
    return row->state;
}

Datum get_text(FunctionCallInfo fcinfo)
{
    return get(fcinfo, TEXTOID);
}

Datum get_bigint(FunctionCallInfo fcinfo)
{
    return get(fcinfo, INT8OID);
}

Datum get_uuid(FunctionCallInfo fcinfo)
{
    return get(fcinfo, UUIDOID);
}

} // namespace

READMODEL_FUNCTION(readmodel_get_text, get_text);
READMODEL_FUNCTION(readmodel_get_bigint, get_bigint);
READMODEL_FUNCTION(readmodel_get_uuid, get_uuid);
