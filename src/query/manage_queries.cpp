// drop_query, rebuild, retry, pause, resume, state_table: what an owner does with a query that is there.

#include "pg/log.hpp"
#include "pg/sqlstate.hpp"
#include "query/arguments.hpp"
#include "query/catalog.hpp"
#include "query/definition_hash.hpp"
#include "query/known_generations.hpp"
#include "query/new_generation.hpp"
#include "worker/in_hand.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

Datum drop_query(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = lock_own_query(name);
    std::vector<Oid> relations; // the view, then the tables of states
    std::vector<int32> generations;
    {
        const CatalogScope scope;
        {
            if (OidIsValid(query.view))
                relations.push_back(query.view);
            const LatestSnapshot snapshot;
            const pg::Rows rows = pg::execute("SELECT c.oid, g.generation_id FROM readmodel_catalog.generation g"
                                              "  JOIN pg_class c ON c.oid IN (g.state_table, g.alias_table)"
                                              " WHERE g.query_id = $1 ORDER BY g.generation_id, c.oid <> g.state_table",
                                              pg::Args().integer(query.id), true);
            for (uint64 row = 0; row < rows.size(); row++)
            {
                relations.push_back(rows.oid(row, 1));
                generations.push_back(*rows.integer(row, 2));
            }
        }
        // Everybody locks relations before rows of the catalog, the view before tables, tables by generation (readers of the
        // view, takeovers, flushes): so nobody waits in a circle.
        for (const Oid relation : relations)
        {
            if (relation != query.view)
                for (const int32 generation : generations)
                    worker::break_off_folds(generation);
            pg::call([&] { LockRelationOid(relation, AccessExclusiveLock); });
        }
        delete_generations(query);
        require_one_row(pg::execute("DELETE FROM readmodel_catalog.query WHERE query_id = $1 RETURNING 1",
                                    pg::Args().integer(query.id)),
                        name);
    }
    {
        // As the caller, who owns them; RESTRICT: what depends on them stops it all.
        const pg::AsUser caller(GetUserId(), false);
        pg::set_local("search_path", "pg_catalog, pg_temp");
        const pg::Spi spi;
        for (const Oid relation : relations)
            pg::execute((relation == query.view ? "DROP VIEW " : "DROP TABLE ") + pg::relation_name(relation));
    }
    worker::announce_definitions();
    PG_RETURN_VOID();
}

Datum rebuild(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = lock_own_query(name);
    const KnownGenerations before(query);
    const KnownGeneration &newest = before.numbered(query.newest);
    if (newest.phase == Phase::gated)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "generation " + std::to_string(newest.number) +
                                                                      " of query " + pg::shown(name) +
                                                                      " waits for an operator's decision")
            .hint("Call readmodel.approve() or readmodel.reject().");
    const Definition definition = load_definition(query, newest.number);
    require_updater(query, definition);
    // Of what the catalog has now: the hash of a generation whose updater was replaced is not that of what would be built.
    const std::string hash = definition_hash(query.source_id, definition);
    // On its way, and not needed any more.
    const auto is_unfinished = [&](const KnownGeneration &generation, int32 serving)
    { return generation.phase == Phase::rebuilding && generation.hash == hash && generation.number != serving; };
    for (const KnownGeneration &generation : before.all())
        if (is_unfinished(generation, query.serving))
            lock_states(generation); // before any row, see drop_query
    // With the row locked: a takeover has committed or comes later. One that is serving by now stays.
    lock_query_row(query);
    const int32 serving = require_query(name).serving;
    const KnownGenerations known(query);
    // What was changed under the query is a change like any other.
    const bool changed = hash != newest.hash;
    if (changed)
        require_not_declined(query, known, hash);
    const Phase phase = changed ? first_phase(known, gate_of(query)) : Phase::rebuilding;
    const int32 number = known.all().back().number + 1;
    build_generation(query, number, definition, hash, phase);
    pg::log(NOTICE,
            "query " + pg::shown(name) +
                (phase == Phase::gated
                     ? " was changed: generation " + std::to_string(number) + " waits for an operator's decision"
                     : " is built anew as generation " + std::to_string(number)),
            "", phase == Phase::gated ? "Call readmodel.approve() or readmodel.reject()." : "");
    for (const KnownGeneration &generation : known.all())
    {
        if (!is_unfinished(generation, serving))
            continue;
        forget_states(query, generation, Phase::dropped, false);
        pg::log(NOTICE, "generation " + std::to_string(generation.number) + " of query " + pg::shown(name) +
                            ", which was being built, is dropped");
    }
    worker::announce_definitions();
    return Int32GetDatum(number);
}

Datum retry(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = require_own_query(name);
    uint64 cleared = 0;
    bool paused = false;
    {
        const CatalogScope scope;
        const pg::Rows lost = pg::execute("SELECT f.reason, g.generation = $2 FROM readmodel_catalog.failure f"
                                          " JOIN readmodel_catalog.generation g USING (generation_id)"
                                          " WHERE g.query_id = $1 AND g.generation IN ($2, $3)"
                                          "   AND f.reason IN ('source_rewound', 'late_event') ORDER BY 2 DESC",
                                          pg::Args().integer(query.id).integer(query.newest).integer(query.serving));
        if (lost.empty() || !lost.boolean(0, 2))
            cleared =
                pg::execute("DELETE FROM readmodel_catalog.failure f USING readmodel_catalog.generation g"
                            " WHERE g.generation_id = f.generation_id AND g.query_id = $1 AND g.generation IN ($2, $3)"
                            "   AND f.reason NOT IN ('source_rewound', 'late_event') RETURNING 1",
                            pg::Args().integer(query.id).integer(query.newest).integer(query.serving))
                    .size();
        // The serving one may have lost events while the newest, which is built from the start, goes on.
        if (!lost.empty() && cleared == 0)
            throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "query " + pg::shown(name) + " cannot go on where it failed")
                .detail("It failed with " + *lost.text(0, 1) + ": its states lack events that it will not read again.")
                .hint("Call readmodel.rebuild(), once the events and the sequence are as they should be.");
        paused = !pg::execute("SELECT 1 FROM readmodel_catalog.query WHERE query_id = $1 AND paused_at IS NOT NULL",
                              pg::Args().integer(query.id), true)
                      .empty();
    }
    pg::log(NOTICE,
            "query " + pg::shown(name) +
                (cleared == 0 ? " has not failed"
                 : paused     ? " is tried again where it failed, once it is resumed"
                              : " is tried again where it failed"),
            {},
            cleared != 0 && paused ? "SELECT readmodel.resume(" + pg::quoted_literal(name) + "); lets it go on." : "");
    if (cleared != 0)
        worker::announce_definitions();
    PG_RETURN_VOID();
}

// True if the query was not as wanted before.
bool set_paused(const std::string &name, bool paused)
{
    const QueryRow query = lock_own_query(name);
    {
        const CatalogScope scope;
        const LatestSnapshot snapshot;
        const pg::Rows now =
            pg::execute("SELECT paused_at IS NOT NULL FROM readmodel_catalog.query WHERE query_id = $1",
                        pg::Args().integer(query.id), true);
        if (now.empty() || now.boolean(0, 1) == paused)
            return false;
    }
    {
        const CatalogScope scope;
        require_one_row(pg::execute(paused ? "UPDATE readmodel_catalog.query SET paused_at = now()"
                                             " WHERE query_id = $1 RETURNING 1"
                                           : "UPDATE readmodel_catalog.query SET paused_at = NULL"
                                             " WHERE query_id = $1 RETURNING 1",
                                    pg::Args().integer(query.id)),
                        name);
    }
    worker::announce_definitions();
    if (paused)
        announce_stop(KnownGenerations(query));
    return true;
}

Datum pause(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const bool done = set_paused(name, true);
    pg::log(NOTICE, "query " + pg::shown(name) + (done ? " is paused" : " is already paused"));
    PG_RETURN_VOID();
}

Datum resume(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const bool done = set_paused(name, false);
    pg::log(NOTICE, "query " + pg::shown(name) + (done ? " goes on" : " is not paused"));
    PG_RETURN_VOID();
}

Datum state_table(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const QueryRow query = require_query(name);
    const int32 number = PG_ARGISNULL(1) ? query.serving : PG_GETARG_INT32(1);
    const CatalogScope scope;
    const LatestSnapshot snapshot;
    const pg::Rows rows =
        pg::execute("SELECT state_table::oid FROM readmodel_catalog.generation WHERE query_id = $1 AND generation = $2",
                    pg::Args().integer(query.id).integer(number), true);
    if (rows.empty() || !rows.get(0, 1))
        throw pg::Error(pg::sqlstate::no_such_object,
                        "generation " + std::to_string(number) + " of query " + pg::shown(name) + " does not exist")
            .hint("readmodel.generations(" + pg::quoted_literal(name) + ") lists them.");
    return ObjectIdGetDatum(rows.oid(0, 1));
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_drop_query, query::drop_query);
READMODEL_FUNCTION(readmodel_rebuild, query::rebuild);
READMODEL_FUNCTION(readmodel_retry, query::retry);
READMODEL_FUNCTION(readmodel_pause, query::pause);
READMODEL_FUNCTION(readmodel_resume, query::resume);
READMODEL_FUNCTION(readmodel_state_table, query::state_table);
