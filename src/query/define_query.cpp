// define_query and definition_hash.
//
// define_query decides under the lock of the query's name and a snapshot taken after it was granted, so that of several callers
// with one definition the first makes the generation and the others find it.

#include "pg/log.hpp"
#include "pg/sqlstate.hpp"
#include "query/arguments.hpp"
#include "query/catalog.hpp"
#include "query/definition.hpp"
#include "query/known_generations.hpp"
#include "query/new_generation.hpp"
#include "query/splitting.hpp"
#include "query/state_table.hpp"
#include "query/view.hpp"
#include "settings.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

void check_name(const std::string &name)
{
    if (name.empty())
        throw pg::Error(ERRCODE_INVALID_NAME, "the name of a query must not be empty");
    if (name.size() >= NAMEDATALEN)
        throw pg::Error(ERRCODE_NAME_TOO_LONG, "the name of a query is too long: " + pg::shown(name))
            .detail("It has " + std::to_string(name.size()) + " bytes; the name of its view can have up to " +
                    std::to_string(NAMEDATALEN - 1) + ".");
}

int32 create_query(const std::string &name, const CheckedDefinition &checked)
{
    const int32 generation_id = next_generation_id();
    const GenerationTables tables = create_tables(generation_id, checked.definition);
    const Oid view = create_view(checked.options.schema, name, generation_id, tables.states);
    const int32 number = 1;

    int32 query_id = 0;
    {
        const CatalogScope scope;
        // Under REPEATABLE READ a query that was defined after our snapshot is not to be seen; find_query has seen that there is
        // none, and the lock on its name keeps it so.
        const pg::Rows rows =
            pg::execute("INSERT INTO readmodel_catalog.query (name, source_id, view, options, newest, serving)"
                        " VALUES ($1, $2, $3, $4::jsonb, $5, $5) RETURNING query_id",
                        pg::Args()
                            .text(name)
                            .integer(checked.source_id)
                            .regclass(view)
                            .text(checked.options.stored)
                            .integer(number));
        query_id = *rows.integer(0, 1);
    }
    insert_generation(generation_id, query_id, number, tables, checked.definition, checked.hash, Phase::rebuilding);
    return number;
}

void check_same_source(const QueryRow &query, const CheckedDefinition &checked)
{
    if (query.source_id != checked.source_id)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "query " + pg::shown(query.name) + " reads event source " + pg::shown(query.source))
            .detail("The source of a query cannot be changed.")
            .hint("Give the new query another name, or call readmodel.drop_query first.");
}

int32 add_generation(const QueryRow &query, const KnownGenerations &known, const CheckedDefinition &checked)
{
    require_key_can_change(query.view, query.name, checked.definition.key_type);
    const int32 number = known.all().back().number + 1;
    const Phase phase = first_phase(known, checked.options.gate);
    build_generation(query, number, checked.definition, checked.hash, phase);
    if (phase == Phase::gated)
        pg::log(NOTICE,
                "generation " + std::to_string(number) + " of query " + pg::shown(query.name) +
                    " waits for an operator's decision",
                checked.options.serve_previous
                    ? "Until then readmodel.get() and readmodel.ready() answer from generation " +
                          std::to_string(query.serving) + ", while that is ready."
                    : "The view stays as it is, but until then readmodel.get() raises RM003 and readmodel.ready() is "
                      "false.",
                "SELECT readmodel.approve(" + pg::quoted_literal(query.name) +
                    "); builds it, SELECT readmodel.reject(" + pg::quoted_literal(query.name) + "); does not." +
                    (checked.options.serve_previous ? ""
                                                    : " With the option \"while_rebuilding\" at \"serve_previous\" the "
                                                      "older generation answers meanwhile."));
    return number;
}

// Options outside the hash take effect at once; omitted ones are at their defaults again. True if anything changed.
bool apply_options(const QueryRow &query, const Options &options)
{
    bool changed = false;
    if (OidIsValid(query.view)) // before the row: the order of everybody's locks, see drop_query
    {
        const std::string schema = pg::call(
            [&]
            {
                const char *const name = get_namespace_name(get_rel_namespace(query.view));
                return name ? name : "";
            });
        if (schema != options.schema)
        {
            move_view(query.view, options.schema);
            changed = true;
        }
    }
    const CatalogScope scope;
    if (pg::execute("SELECT $1::jsonb <> $2::jsonb", pg::Args().text(query.options).text(options.stored), true)
            .boolean(0, 1))
    {
        require_one_row(
            pg::execute("UPDATE readmodel_catalog.query SET options = $2::jsonb WHERE query_id = $1 RETURNING 1",
                        pg::Args().integer(query.id).text(options.stored)),
            query.name);
        changed = true;
    }
    return changed;
}

// Its owner can drop the view: the next define_query brings it back.
bool restore_view(const QueryRow &query, const Options &options)
{
    if (OidIsValid(query.view))
        return false;
    int32 generation_id = 0;
    Oid table = InvalidOid;
    {
        const CatalogScope scope;
        const LatestSnapshot snapshot;
        const pg::Rows rows = pg::execute("SELECT g.generation_id, c.oid FROM readmodel_catalog.generation g"
                                          "  JOIN pg_class c ON c.oid = g.state_table"
                                          " WHERE g.query_id = $1 AND g.generation = $2",
                                          pg::Args().integer(query.id).integer(query.serving), true);
        if (rows.empty())
            throw pg::Error(ERRCODE_UNDEFINED_TABLE,
                            "the view and the table of states of query " + pg::shown(query.name) + " do not exist")
                .hint("Call readmodel.rebuild(), which builds the states anew. Once they serve, this makes the view "
                      "again.");
        generation_id = *rows.integer(0, 1);
        table = rows.oid(0, 2);
    }
    const Oid view = create_view(options.schema, query.name, generation_id, table);
    const CatalogScope scope;
    require_one_row(pg::execute("UPDATE readmodel_catalog.query SET view = $2 WHERE query_id = $1 RETURNING 1",
                                pg::Args().integer(query.id).regclass(view)),
                    query.name);
    return true;
}

// Another revision of the application: what the newest one set stays.
void tell_known(const QueryRow &query, const KnownGeneration &known)
{
    const std::string activate =
        "SELECT readmodel.activate(" + pg::quoted_literal(query.name) + ", " + std::to_string(known.number) + ");";
    const std::string newest = "Generation " + std::to_string(query.newest) + " stays in force.";
    const std::string not_applied = "The options of this call were not applied.";
    const std::string message =
        "this definition of query " + pg::shown(query.name) + " is generation " + std::to_string(known.number);
    if (known.has_states())
        pg::log(NOTICE, message + ", which is not the newest, " + std::to_string(query.newest), not_applied,
                newest +
                    " To read this one, give its definition hash to readmodel.get() and readmodel.readiness(). "
                    "To make it the newest: " +
                    activate);
    else if (known.phase == Phase::rejected)
        pg::log(NOTICE, message + ", which was rejected", "It was rejected at " + known.ended_at + ". " + not_applied,
                newest + " To build this one after all: " + activate);
    else if (known.declined)
        pg::log(NOTICE, message + ", which was cancelled", "It was cancelled at " + known.ended_at + ". " + not_applied,
                newest + " To build this one after all: " + activate);
    else
        pg::log(NOTICE, message + ", whose states were dropped",
                "They were dropped at " + known.ended_at + ". " + not_applied,
                newest + " To build this one again: " + activate);
}

// A wish that this server does not grant is no error: another one may, after a restore.
void tell_of_lanes(const std::string &name, const CheckedDefinition &checked)
{
    const int wanted = checked.options.parallel;
    if (wanted == 1)
        return;
    const Splitting splitting = splitting_of(checked.definition, checked.options.skip_errors);
    const bool whole = splitting != Splitting::possible;
    const int most = whole ? 1 : std::max(1, settings::max_rebuild_workers);
    if (wanted <= most)
        return;
    pg::call(
        [&]
        {
            ereport(
                NOTICE,
                (errmsg_plural("option \"parallel\" is %d, but query \"%s\" is rebuilt by %d lane",
                               "option \"parallel\" is %d, but query \"%s\" is rebuilt by %d lanes",
                               static_cast<unsigned long>(most), wanted, name.c_str(), most),
                 splitting == Splitting::state_decides
                     ? errdetail("In its spec $state decides which aliases are remembered or forgotten.")
                 : splitting == Splitting::all_lanes_skip
                     ? errdetail(
                           "An event that is passed over (on_error = skip) could have changed what another lane has.")
                     : errdetail("A rebuild has no more lanes than this server has rebuild workers."),
                 whole ? 0 : errhint("Raise \"readmodel.max_rebuild_workers\", which takes a restart of the server.")));
        });
}

Datum define_query(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    check_name(name);
    lock_query_name(name);
    // Looked at only now: while the lock was waited for, the updater may have been replaced and the query defined as it is now.
    const CheckedDefinition checked = check_definition(DefinitionArguments::read(fcinfo, 1), SourceLock::held);
    const std::optional<QueryRow> query = find_query(name);
    if (!query)
    {
        tell_of_lanes(name, checked);
        const int32 number = create_query(name, checked);
        worker::announce_definitions();
        return Int32GetDatum(number);
    }

    require_owner(*query);
    check_same_source(*query, checked);
    const KnownGenerations known(*query);
    const bool in_force = known.numbered(query->newest).hash == checked.hash;
    if (const KnownGeneration *const other = in_force ? nullptr : known.with_hash(checked.hash))
    {
        tell_known(*query, *other);
        return Int32GetDatum(other->number);
    }
    tell_of_lanes(name, checked);
    bool changed = restore_view(*query, checked.options);
    changed = apply_options(*query, checked.options) || changed;
    const int32 number = in_force ? query->newest : add_generation(*query, known, checked);
    if (changed || !in_force)
        worker::announce_definitions();
    if (changed)
        announce_stop(known); // a limit that is set now may be meant for the very call that is under way
    return Int32GetDatum(number);
}

Datum definition_hash_of_arguments(FunctionCallInfo fcinfo)
{
    return pg::text_datum(check_definition(DefinitionArguments::read(fcinfo, 0), SourceLock::none).hash);
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_define_query, query::define_query);
READMODEL_FUNCTION(readmodel_definition_hash, query::definition_hash_of_arguments);
