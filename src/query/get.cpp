// readmodel.get(): one state, or the reason why it may not be read. Status and state come from one snapshot.

#include "pg/spi.hpp"
#include "pg/transaction.hpp"
#include "query/arguments.hpp"
#include "query/readiness.hpp"
#include "query/visibility.hpp"

namespace
{

using namespace query;

void require_select(const catalog::QueryRow &query)
{
    bool is_missing = false;
    bool allowed = pg::call(
        [&] { return pg_class_aclcheck_ext(query.view, GetUserId(), ACL_SELECT, &is_missing) == ACLCHECK_OK; });
    if (is_missing)
    {
        // Without the view nobody holds a right of reading but whom the states belong to.
        const Oid owner = catalog::owner_of(query);
        allowed = pg::call([&] { return has_privs_of_role(GetUserId(), owner); });
    }
    if (allowed)
        return;
    pg::Error error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for query " + pg::shown(query.name));
    if (is_missing)
        throw std::move(error)
            .detail("Its view does not exist, so only its owner may read states.")
            .hint("readmodel.define_query() makes the view again.");
    throw std::move(error).hint("Reading states needs SELECT on the query's view.");
}

struct Id
{
    Oid type;
    Datum value;
};

std::string text_form(const Id &id)
{
    if (id.type == TEXTOID)
        return pg::text_of(id.value);
    const char *const text = pg::call(
        [&]
        {
            return DatumGetCString(id.type == INT8OID ? DirectFunctionCall1(int8out, id.value)
                                                      : DirectFunctionCall1(uuid_out, id.value));
        });
    return text;
}

// The id as the generation's key type. A text that is no value of it is refused as the type's input function does: 22P02.
Id as_key(const Id &id, KeyType key_type)
{
    const Oid wanted = type_oid(key_type);
    if (id.type == wanted)
        return id;
    const std::string text = text_form(id);
    if (wanted == TEXTOID)
        return {TEXTOID, pg::text_datum(text)};
    return {wanted, pg::call(
                        [&]
                        {
                            return wanted == UUIDOID ? DirectFunctionCall1(uuid_in, CStringGetDatum(text.c_str()))
                                                     : DirectFunctionCall1(int8in, CStringGetDatum(text.c_str()));
                        })};
}

// The look-up statement of a table of states, planned once per session and table. Never destroyed: at the exit of the process
// there is no server left to free the plans with.
pg::Statement &lookup_in(Oid state_table, const std::string &name)
{
    struct Lookup
    {
        std::string name;
        pg::Statement statement;
    };
    static constexpr size_t most = 256;
    static auto &lookups = *new std::unordered_map<Oid, Lookup>();
    auto place = lookups.find(state_table);
    if (place != lookups.end() && place->second.name != name)
    {
        // Renamed, or another table under a recycled oid.
        lookups.erase(place);
        place = lookups.end();
    }
    if (place == lookups.end())
    {
        if (lookups.size() >= most)
            lookups.clear();
        place = lookups
                    .emplace(state_table, Lookup{name, pg::Statement("SELECT state FROM " + name +
                                                                     " WHERE id OPERATOR(pg_catalog.=) $1")})
                    .first;
    }
    return place->second.statement;
}

// The state under the active snapshot, in the caller's memory. Read as the owner of the table, as through the view.
std::optional<Datum> state_of(const catalog::QueryRow &query, const catalog::GenerationRow &generation, const Id &id)
{
    pg::call([&] { LockRelationOid(generation.state_table, AccessShareLock); });
    const Oid owner = relation_owner(generation.state_table);
    const std::string name = pg::relation_name(generation.state_table);
    if (!OidIsValid(owner) || name.empty())
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                        "query " + pg::shown(query.name) + " was changed concurrently")
            .detail("The table of states that this snapshot knows is gone.")
            .hint("Run the transaction again.");
    const pg::AsUser user(owner, true);
    const pg::Spi spi;
    const pg::Rows rows = lookup_in(generation.state_table, name).execute(pg::Args().add(id.type, id.value), true, 1);
    if (rows.empty())
        return std::nullopt;
    const std::optional<Datum> state = rows.get(0, 1);
    if (!state)
        return std::nullopt;
    return pg::call([&] { return SPI_datumTransfer(*state, false, -1); });
}

Datum get(FunctionCallInfo fcinfo, Oid id_type)
{
    const catalog::QueryRow query = wanted_query(text_argument(fcinfo, 0, "name"));
    require_select(query);
    const ServerFacts server = server_facts();
    const std::optional<std::string> definition_hash = maybe_text_argument(fcinfo, 2);
    const Readable readable = [&]
    {
        if (!definition_hash)
            return readable_generation(server, query);
        catalog::GenerationRow generation = wanted_generation(query, definition_hash);
        Standing standing = standing_of(server, query, generation);
        return Readable{std::move(generation), std::move(standing)};
    }();
    if (!readable.ready())
        throw not_readable(query, readable);
    std::optional<Datum> state;
    if (!PG_ARGISNULL(1))
        state =
            state_of(query, readable.generation, as_key({id_type, PG_GETARG_DATUM(1)}, readable.generation.key_type));
    if (!state)
        PG_RETURN_NULL();
    return *state;
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
