#include "query/state_reading.hpp"

#include <algorithm>
#include <cctype>

#include "pg/spi.hpp"
#include "pg/transaction.hpp"
#include "query/visibility.hpp"

namespace query
{

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

namespace
{

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

// Whether the input function of the type takes the text as it is: most do look like this.
bool is_plain(std::string_view text, KeyType key_type)
{
    const auto is_digit = [](unsigned char c) { return isdigit(c) != 0; };
    if (key_type == KeyType::bigint)
    {
        text.remove_prefix(text.starts_with('-') ? 1 : 0);
        return !text.empty() && text.size() < 19 && std::all_of(text.begin(), text.end(), is_digit);
    }
    if (text.size() != 36)
        return false;
    for (size_t i = 0; i < text.size(); i++)
    {
        const bool is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_hyphen ? text[i] != '-' : isxdigit(static_cast<unsigned char>(text[i])) == 0)
            return false;
    }
    return true;
}

// The statements on a table of states, planned once per session and table.
struct Statements
{
    explicit Statements(std::string table)
        : name(std::move(table)),
          one("SELECT state, position, updated_at FROM " + name + " WHERE id OPERATOR(pg_catalog.=) $1"),
          // ORDER BY "id" alone would be the text in the output.
          first("SELECT state, position, updated_at, id::pg_catalog.text FROM " + name + " s ORDER BY s.id"),
          next("SELECT state, position, updated_at, id::pg_catalog.text FROM " + name +
               " s WHERE s.id OPERATOR(pg_catalog.>) $1 ORDER BY s.id")
    {
    }

    std::string name;
    pg::Statement one;
    pg::Statement first;
    pg::Statement next;
};

// Never destroyed: at the exit of the process there is no server left to free the plans with.
Statements &statements_on(Oid state_table, const std::string &name)
{
    static constexpr size_t most = 256;
    static auto &known = *new std::unordered_map<Oid, Statements>();
    auto place = known.find(state_table);
    if (place != known.end() && place->second.name != name)
    {
        // Renamed, or another table under a recycled oid.
        known.erase(place);
        place = known.end();
    }
    if (place == known.end())
    {
        if (known.size() >= most)
            known.clear();
        place = known.try_emplace(state_table, name).first;
    }
    return place->second;
}

// Locks the table of states until the transaction ends, and returns its owner.
Oid lock_states(const catalog::QueryRow &query, const catalog::GenerationRow &generation)
{
    pg::call([&] { LockRelationOid(generation.state_table, AccessShareLock); });
    const Oid owner = relation_owner(generation.state_table);
    if (!OidIsValid(owner))
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                        "query " + pg::shown(query.name) + " was changed concurrently")
            .detail("The table of states that this snapshot knows is gone.")
            .hint("Run the transaction again.");
    return owner;
}

// A scope in which the states are read by SQL, as their owner.
class Reading
{
public:
    Reading(Oid table, Oid owner) : user(owner, true), statements(statements_on(table, pg::relation_name(table)))
    {
        // What the table's owner has put on it is the owner's code: the caller chooses no names for it.
        pg::set_local("search_path", "pg_catalog, pg_temp");
    }

    Statements &on() { return statements; }

private:
    pg::AsUser user;
    Statements &statements;
    pg::Spi spi;
};

std::optional<StateRow> state_row(const pg::Rows &rows, uint64 number)
{
    const std::optional<Datum> state = rows.get(number, 1);
    if (!state)
        return std::nullopt;
    return StateRow{*state, rows.bigint(number, 2).value_or(0), DatumGetTimestampTz(rows.get(number, 3).value_or(0))};
}

} // namespace

std::optional<Id> id_of_text(Datum text, KeyType key_type)
{
    const Id given = {TEXTOID, text};
    if (key_type == KeyType::text || is_plain(pg::text_of(text), key_type))
        return as_key(given, key_type);
    std::optional<Id> id;
    if (const std::optional<pg::PgError> error = pg::attempt(true, [&] { id = as_key(given, key_type); }))
    {
        if (error->sqlstate() != ERRCODE_INVALID_TEXT_REPRESENTATION &&
            error->sqlstate() != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE)
            throw pg::PgError(*error);
        return std::nullopt;
    }
    return id;
}

std::optional<StateRow> state_of(const catalog::QueryRow &query, const catalog::GenerationRow &generation, const Id &id)
{
    const Id key = as_key(id, generation.key_type);
    const Oid owner = lock_states(query, generation);
    std::optional<StateRow> found;
    if (look_up_state(generation.state_table, owner, generation.key_type, key.value, found))
        return found;
    Reading reading(generation.state_table, owner);
    const pg::Rows rows = reading.on().one.execute(pg::Args().add(key.type, key.value), true, 1);
    std::optional<StateRow> row = rows.empty() ? std::nullopt : state_row(rows, 0);
    if (row)
        row->state = pg::call([&] { return SPI_datumTransfer(row->state, false, -1); });
    return row;
}

void states_after(const catalog::QueryRow &query, const catalog::GenerationRow &generation,
                  const std::optional<Id> &after, int most, const TakeState &take)
{
    pg::Args args;
    if (after)
    {
        const Id key = as_key(*after, generation.key_type);
        args.add(key.type, key.value);
    }
    Reading reading(generation.state_table, lock_states(query, generation));
    // The plan does not know how few rows are taken of it: the index, whatever the whole table would be read with.
    for (const char *const other : {"enable_sort", "enable_seqscan", "enable_bitmapscan"})
        pg::set_local(other, "off");
    pg::Statement &statement = after ? reading.on().next : reading.on().first;
    const pg::Rows rows = statement.execute(args, true, most);
    for (uint64 i = 0; i < rows.size(); i++)
        if (const std::optional<StateRow> row = state_row(rows, i))
            take(*rows.get(i, 4), *row);
}

} // namespace query
