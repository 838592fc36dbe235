// activate, approve, reject, cancel_rebuild: an operator's choice of the generation that is in force.
//
// Each decides under the lock of the query's name, and with the query's row locked, so that no takeover comes in between. Relations
// are locked before rows of the catalog, as everywhere (see drop_query); the view alone is locked later, and never waited for in
// the lock's queue.

#include "pg/log.hpp"
#include "query/arguments.hpp"
#include "query/definition_hash.hpp"
#include "query/known_generations.hpp"
#include "query/new_generation.hpp"
#include "query/takeover.hpp"
#include "query/view.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

std::string called(const QueryRow &query, int32 number)
{
    return "generation " + std::to_string(number) + " of query " + pg::shown(query.name);
}

// Its states can only go on as the definition by which they were made.
void require_definition(const QueryRow &query, const KnownGeneration &generation, const Definition &definition)
{
    require_updater(query, definition);
    if (definition_hash(query.source_id, definition) == generation.hash)
        return;
    throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "cannot activate " + called(query, generation.number) +
                                                                  " because its definition is not there any more")
        .detail("Its updater, the source's mapping or the type of a column that this reads was changed since.")
        .hint("Put back what was changed, or call readmodel.define_query() for the definition as it is now. To keep an "
              "old and "
              "a new updater side by side, give the new one another name.");
}

// A generation of which only the definition is remembered.
void build_again(const QueryRow &query, const KnownGenerations &known, const KnownGeneration &generation,
                 const Definition &definition)
{
    const int32 number = known.all().back().number + 1;
    build_generation(query, number, definition, generation.hash);
    pg::log(NOTICE, called(query, generation.number) + " has no states any more, it is built again as generation " +
                        std::to_string(number));
}

void show_live(const QueryRow &query, const KnownGeneration &generation, const Definition &definition)
{
    lock_view_between_readers(query.view, query.name);
    {
        const CatalogScope scope;
        require_one_row(
            pg::execute("UPDATE readmodel_catalog.query SET newest = $2, serving = $2 WHERE query_id = $1 RETURNING 1",
                        pg::Args().integer(query.id).integer(generation.number)),
            query.name);
    }
    show_generation({query.id, query.name, query.view, generation.id, generation.state_table, definition.key_type});
    const std::string failure = generation.failure && !generation.frozen() ? *generation.failure : "";
    pg::log(NOTICE, called(query, generation.number) + " is active" + (failure.empty() ? "" : ", and has failed"),
            failure.empty() ? "" : "It failed with " + failure + ".",
            failure.empty() ? "" : "readmodel.status() shows why, and where.");
}

void activate_generation(const QueryRow &query, const KnownGenerations &known, const KnownGeneration &generation)
{
    const bool newest = generation.number == query.newest;
    if (newest && generation.phase != Phase::gated && !generation.frozen() &&
        (generation.phase != Phase::live || query.serving == query.newest))
    {
        pg::log(NOTICE, called(query, generation.number) + " is the newest already");
        return;
    }
    const Definition definition = load_definition(query, generation.number);
    require_definition(query, generation, definition);
    require_key_can_change(query.view, query.name, definition.key_type);
    if (!generation.has_states())
    {
        build_again(query, known, generation, definition);
        return;
    }
    if (generation.frozen())
        clear_failure(generation); // put back as it was: it goes on where it stands
    if (generation.phase == Phase::live)
    {
        show_live(query, generation, definition);
        return;
    }
    set_newest(query, generation.number);
    if (generation.phase == Phase::gated)
        set_phase(query, generation, Phase::rebuilding);
    pg::log(NOTICE, called(query, generation.number) + " is the newest now, it takes over when it is ready");
}

Datum activate(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    require_argument(fcinfo, 1, "generation");
    const int32 number = PG_GETARG_INT32(1);
    const QueryRow query = lock_own_query(name);
    lock_query_row(query);
    // With the row locked: a takeover has committed or comes later. It changes what serves.
    const QueryRow now = require_query(name);
    const KnownGenerations known(now);
    const KnownGeneration &wanted = known.numbered(number);
    const KnownGeneration &of_definition = wanted.has_states() ? wanted : *known.with_hash(wanted.hash);
    if (of_definition.number != number && of_definition.has_states())
        pg::log(NOTICE, called(now, number) + " has no states, generation " + std::to_string(of_definition.number) +
                            " has the same definition");
    activate_generation(now, known, of_definition);
    worker::announce_definitions();
    PG_RETURN_VOID();
}

// The newest generation if it waits at the gate, else the last that was left waiting there when a newer definition came; nothing.
const KnownGeneration *gated_generation(const QueryRow &query, const KnownGenerations &known)
{
    const KnownGeneration &newest = known.numbered(query.newest);
    if (newest.phase == Phase::gated)
        return &newest;
    for (auto generation = known.all().rbegin(); generation != known.all().rend(); ++generation)
        if (generation->phase == Phase::gated)
            return &*generation;
    pg::log(NOTICE, "no generation of query " + pg::shown(query.name) + " waits for a decision");
    return nullptr;
}

Datum approve(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = lock_own_query(name);
    const KnownGenerations known(query);
    const KnownGeneration *const gated = gated_generation(query, known);
    if (!gated)
        PG_RETURN_VOID();
    if (gated->number != query.newest)
    {
        pg::log(NOTICE, called(query, gated->number) + " waits, but a newer definition is in force", {},
                "SELECT readmodel.activate(" + pg::quoted_literal(name) + ", " + std::to_string(gated->number) +
                    "); puts it in force, readmodel.reject() gives it up.");
        PG_RETURN_VOID();
    }
    set_phase(query, *gated, Phase::rebuilding);
    worker::announce_definitions();
    pg::log(NOTICE, called(query, gated->number) + " is built now");
    PG_RETURN_VOID();
}

Datum reject(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = lock_own_query(name);
    const KnownGenerations known(query);
    const KnownGeneration *const gated = gated_generation(query, known);
    if (!gated)
        PG_RETURN_VOID();
    lock_states(*gated);
    lock_query_row(query);
    const QueryRow now = require_query(name);
    const int32 in_force = gated->number == now.newest ? now.serving : now.newest;
    set_newest(query, in_force);
    forget_states(query, *gated, Phase::rejected, true);
    worker::announce_definitions();
    pg::log(NOTICE,
            called(query, gated->number) + " is rejected, generation " + std::to_string(in_force) + " stays in force");
    PG_RETURN_VOID();
}

// The first one has nothing to go back to: it stands still as after a failure.
void stop_rebuild(const QueryRow &query, const KnownGeneration &generation)
{
    if (generation.failure)
    {
        pg::log(NOTICE, called(query, generation.number) + " is not being built, it has failed");
        return;
    }
    record_failure(generation.id, "operator", std::nullopt, "", "the rebuild was cancelled");
    pg::log(NOTICE, called(query, generation.number) + " is not built further", {},
            "It is the first one, so there is no other to go back to. SELECT readmodel.retry(" +
                pg::quoted_literal(query.name) + "); lets it go on.");
}

Datum cancel_rebuild(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = lock_own_query(name);
    if (const KnownGenerations known(query);
        query.newest != query.serving && known.numbered(query.newest).phase == Phase::rebuilding)
        lock_states(known.numbered(query.newest));
    lock_query_row(query);
    const QueryRow now = require_query(name);
    const KnownGenerations known(now);
    const KnownGeneration &newest = known.numbered(now.newest);
    if (newest.phase != Phase::rebuilding)
    {
        pg::log(NOTICE, "query " + pg::shown(name) + " is not being rebuilt");
        PG_RETURN_VOID();
    }
    if (now.serving == now.newest)
        stop_rebuild(now, newest);
    else
    {
        set_newest(now, now.serving);
        forget_states(now, newest, Phase::dropped, true);
        pg::log(NOTICE, called(now, newest.number) + " is not built further, generation " +
                            std::to_string(now.serving) + " is the newest again");
    }
    worker::announce_definitions();
    PG_RETURN_VOID();
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_activate, query::activate);
READMODEL_FUNCTION(readmodel_approve, query::approve);
READMODEL_FUNCTION(readmodel_reject, query::reject);
READMODEL_FUNCTION(readmodel_cancel_rebuild, query::cancel_rebuild);
