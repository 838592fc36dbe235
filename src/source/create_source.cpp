// create_source and drop_source: what a source is in the catalog, and who may make and drop one.

#include "pg/locks.hpp"
#include "pg/memory.hpp"
#include "pg/search_path.hpp"
#include "pg/spi.hpp"
#include "pg/sqlstate.hpp"
#include "pg/transaction.hpp"
#include "query/catalog.hpp"
#include "source/event_source.hpp"
#include "source/mapping_expression.hpp"
#include "source/position_guard.hpp"
#include "worker/shared.hpp"
#include "worker/wakeup.hpp"

namespace source
{

namespace
{

enum CreateArgument
{
    argument_name,
    argument_events,
    argument_position_column,
    argument_type,
    argument_stream,
    argument_data,
    argument_metadata,
    argument_occurred_at,
    argument_settle,
    create_arguments
};

constexpr std::array<const char *, create_arguments> argument_names = {
    "name", "events", "position_column", "type", "stream", "data", "metadata", "occurred_at", "settle",
};

bool may_be_null(int argument)
{
    return argument == argument_metadata || argument == argument_occurred_at;
}

std::optional<std::string> text_argument(FunctionCallInfo fcinfo, int argument)
{
    if (PG_ARGISNULL(argument))
        return std::nullopt;
    return pg::text_of(PG_GETARG_DATUM(argument));
}

Settle settle_argument(const std::string &text)
{
    if (text == "sequence")
        return Settle::sequence;
    if (text == "gap_timeout")
        return Settle::gap_timeout;
    if (text == "guarded")
    {
        if (!worker::shared())
            throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "settle => 'guarded' needs the library to be preloaded")
                .hint("Add pg_readmodel to shared_preload_libraries and restart the server.");
        return Settle::guarded;
    }
    throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "invalid value for argument \"settle\": " + pg::shown(text))
        .hint("It is one of 'sequence', 'guarded' and 'gap_timeout'.");
}

EventSource source_of_arguments(FunctionCallInfo fcinfo)
{
    for (int argument = 0; argument < create_arguments; argument++)
        if (PG_ARGISNULL(argument) && !may_be_null(argument))
            throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                            "argument " + pg::shown(argument_names[static_cast<size_t>(argument)]) +
                                " must not be null");
    EventSource source;
    source.name = text_argument(fcinfo, argument_name).value();
    if (source.name.empty())
        throw pg::Error(ERRCODE_INVALID_NAME, "the name of a source must not be empty");
    source.events = PG_GETARG_OID(argument_events);
    source.position_column = NameStr(*PG_GETARG_NAME(argument_position_column));
    source.type_expression = text_argument(fcinfo, argument_type).value();
    source.stream_expression = text_argument(fcinfo, argument_stream).value();
    source.data_expression = text_argument(fcinfo, argument_data).value();
    source.metadata_expression = text_argument(fcinfo, argument_metadata);
    source.occurred_at_expression = text_argument(fcinfo, argument_occurred_at);
    source.settle = settle_argument(text_argument(fcinfo, argument_settle).value());
    source.search_path = pg::captured_search_path();
    return source;
}

// The owner of the relation. Throws unless the current user has the owner's rights.
Oid owner_checked(Oid relation)
{
    return pg::call(
        [&]
        {
            const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
            if (!HeapTupleIsValid(tuple))
                ereport(ERROR,
                        (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
            const auto *const form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
            const Oid owner = form->relowner;
            if (!pg_class_ownercheck(relation, GetUserId()))
                aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(form->relkind), NameStr(form->relname));
            ReleaseSysCache(tuple);
            return owner;
        });
}

// Locks the event table so that no DDL comes between the checks and the commit. Writers do not notice.
void lock_event_table(EventSource &source)
{
    owner_checked(source.events); // before the lock: who may not use the table may not hold up its DDL either
    const std::string name = pg::relation_name(source.events);
    pg::call([&] { LockRelationOid(source.events, AccessShareLock); });
    if (!pg::call([&] { return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source.events)); }))
        throw pg::Error(ERRCODE_UNDEFINED_TABLE, "relation " + name + " does not exist")
            .detail("It has just been dropped.");
    source.owner = owner_checked(source.events); // it may have been dropped or given away while we waited
}

void check_mappings(const EventSource &source)
{
    const pg::AsUser owner(source.owner, true);
    pg::pin_surroundings(source.search_path);
    const Relation events = pg::call([&] { return table_open(source.events, NoLock); });
    check_mapping(events, "type", source.type_expression, TEXTOID);
    check_mapping(events, "stream", source.stream_expression, TEXTOID);
    check_mapping(events, "data", source.data_expression, JSONBOID);
    if (source.metadata_expression)
        check_mapping(events, "metadata", *source.metadata_expression, JSONBOID);
    if (source.occurred_at_expression)
        check_mapping(events, "occurred_at", *source.occurred_at_expression, TIMESTAMPTZOID);
    pg::call([&] { table_close(events, NoLock); });
}

void say_what_is_not_proved(const EventSource &source)
{
    if (source.settle == Settle::gap_timeout)
        pg::call(
            [&]
            {
                ereport(NOTICE,
                        (errmsg("settle => 'gap_timeout' is a heuristic"),
                         errdetail("No sequence proves when a hole in the positions of \"%s\" is final: an event that "
                                   "is committed later than the timeout is skipped.",
                                   source.name.c_str())));
            });
}

// The view that makes PostgreSQL refuse to drop the event table under the source. It names no column, so that columns
// can be changed, and belongs to the table's owner, so that DROP OWNED takes both.
Oid create_marker(const EventSource &source)
{
    const std::string view = pg::quoted("readmodel_data", "source_" + std::to_string(source.id));
    const char *const owner = pg::call([&]() -> const char * { return GetUserNameFromId(source.owner, false); });
    pg::execute("CREATE VIEW " + view + " AS SELECT true AS present FROM " + pg::relation_name(source.events));
    pg::execute("ALTER VIEW " + view + " OWNER TO " + pg::quoted(owner));
    pg::execute("COMMENT ON VIEW " + view + " IS " +
                pg::quoted_literal("pg_readmodel: keeps the event table of source " + pg::shown(source.name) +
                                   " from being dropped; readmodel.drop_source() removes it"));
    const Oid schema = query::data_schema();
    const std::string name = "source_" + std::to_string(source.id);
    return pg::call([&] { return get_relname_relid(name.c_str(), schema); });
}

void insert_source(EventSource &source, const std::string &settle)
{
    const pg::AsUser owner(query::catalog_owner(), false);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    const pg::Spi spi;
    // The number comes first, since the row holds the view that is named after it.
    source.id = static_cast<int32>(
        pg::execute("SELECT pg_catalog.nextval('readmodel_catalog.source_source_id_seq')").bigint(0, 1).value());
    source.marker = create_marker(source);

    pg::Args args;
    args.integer(source.id).text(source.name).regclass(source.events).regclass(source.marker);
    args.text(source.position_column).text(source.type_expression).text(source.stream_expression);
    args.text(source.data_expression).text(source.metadata_expression).text(source.occurred_at_expression);
    args.text(settle).text(source.search_path).text(source_stamp(source.events));
    // A session that is creating the same name is waited for.
    const pg::Rows inserted = pg::execute(
        "INSERT INTO readmodel_catalog.source (source_id, name, events, marker, position_column, type_expression,"
        " stream_expression, data_expression, metadata_expression, occurred_at_expression, settle, search_path, stamp)"
        " OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5::pg_catalog.name, $6, $7, $8, $9, $10, $11, $12, $13)"
        " ON CONFLICT (name) DO NOTHING RETURNING source_id",
        args);
    if (inserted.empty())
        throw pg::Error(ERRCODE_DUPLICATE_OBJECT, "source " + pg::shown(source.name) + " already exists")
            .hint("Choose another name, or drop that source first with readmodel.drop_source().");
    if (source.settle == Settle::guarded)
        create_guard(source);
}

// Events that were imported with their positions, or the sequence set back: the sequence will come to their positions again.
void check_drawn(const EventSource &source)
{
    const Oid sequence = position_sequence(source.events, source.position_column);
    if (source.settle == Settle::gap_timeout || !OidIsValid(sequence))
        return;
    const MaybePosition head = head_position(source);
    if (!head)
        return;
    const Position last = pg::sequence_last_drawn(sequence);
    if (*head > last)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "the sequence of event table " + pg::relation_name(source.events) + " is behind its events")
            .detail("The highest position is " + std::to_string(*head) + ", the last number drawn is " +
                    std::to_string(last) + ".")
            .hint("Move the sequence on: SELECT setval('" + pg::relation_name(sequence) + "', " +
                  std::to_string(*head) + ").");
}

Datum create_source(FunctionCallInfo fcinfo)
{
    EventSource source = source_of_arguments(fcinfo);
    lock_event_table(source);
    if (std::optional<pg::Error> error = check_source(source))
        throw *std::move(error);
    check_mappings(source);
    check_drawn(source);
    insert_source(source, text_argument(fcinfo, argument_settle).value());
    if (source.settle == Settle::guarded)
    {
        // The triggers' lock has waited for writers, who may have inserted at positions of their own.
        const query::LatestSnapshot snapshot;
        check_drawn(source);
    }
    say_what_is_not_proved(source);
    worker::announce_definitions(true);
    return Datum{0};
}

struct Found
{
    int32 id;
    Oid events; // InvalidOid: gone
    Oid marker;
};

// The source's row, locked against another drop_source and against new queries.
Found find_locked(const std::string &name)
{
    const pg::AsUser owner(query::catalog_owner(), false);
    const pg::Spi spi;
    const pg::Rows rows = pg::execute("SELECT s.source_id, e.oid, m.oid FROM readmodel_catalog.source s"
                                      " LEFT JOIN pg_catalog.pg_class e ON e.oid OPERATOR(pg_catalog.=) s.events"
                                      " LEFT JOIN pg_catalog.pg_class m ON m.oid OPERATOR(pg_catalog.=) s.marker AND "
                                      "m.relkind OPERATOR(pg_catalog.=) 'v'"
                                      " WHERE s.name OPERATOR(pg_catalog.=) $1 FOR UPDATE OF s",
                                      pg::Args().text(name));
    if (rows.empty())
        throw pg::Error(pg::sqlstate::no_such_object, "source " + pg::shown(name) + " does not exist")
            .hint("readmodel.source_status() lists the sources.");
    return {rows.integer(0, 1).value(), rows.oid(0, 2), rows.oid(0, 3)};
}

// Nothing but this keeps a query's source: under REPEATABLE READ, too, a query counts that was defined while the lock on the
// source's row was waited for.
void refuse_if_used(const std::string &name, int32 source_id)
{
    const query::LatestSnapshot snapshot;
    const pg::Rows queries =
        pg::execute("SELECT name FROM readmodel_catalog.query WHERE source_id OPERATOR(pg_catalog.=) $1 ORDER BY name",
                    pg::Args().integer(source_id), true);
    if (queries.empty())
        return;
    std::string list;
    for (uint64 row = 0; row < queries.size(); row++)
        list += (row ? ", " : "") + pg::shown(queries.text(row, 1).value());
    throw pg::Error(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
                    "cannot drop source " + pg::shown(name) + " because queries use it")
        .detail("Queries that use it: " + list + ".")
        .hint("Drop them first with readmodel.drop_query().");
}

Datum drop_source(FunctionCallInfo fcinfo)
{
    if (PG_ARGISNULL(0))
        throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "argument \"name\" must not be null");
    const std::string name = text_argument(fcinfo, 0).value();
    const Found source = find_locked(name);
    // Nobody owns a source whose table was dropped with CASCADE: whoever may call this function may clear it away.
    if (OidIsValid(source.events))
        owner_checked(source.events);

    const pg::AsUser owner(query::catalog_owner(), false);
    const pg::Spi spi;
    refuse_if_used(name, source.id);
    if (OidIsValid(source.events))
        drop_guard(source.id, source.events);
    if (OidIsValid(source.marker))
        pg::execute("DROP VIEW IF EXISTS " + pg::relation_name(source.marker));
    pg::execute("DELETE FROM readmodel_catalog.source WHERE source_id OPERATOR(pg_catalog.=) $1",
                pg::Args().integer(source.id));
    worker::announce_definitions(true);
    return Datum{0};
}

} // namespace

} // namespace source

READMODEL_FUNCTION(readmodel_create_source, source::create_source);
READMODEL_FUNCTION(readmodel_drop_source, source::drop_source);
