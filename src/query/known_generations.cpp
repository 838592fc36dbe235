#include "query/known_generations.hpp"

#include "pg/sqlstate.hpp"
#include "query/new_generation.hpp"
#include "settings.hpp"
#include "worker/in_hand.hpp"
#include "worker/wakeup.hpp"

namespace query
{

KnownGenerations::KnownGenerations(const QueryRow &query) : query_name(query.name)
{
    const CatalogScope scope;
    const LatestSnapshot snapshot;
    const pg::Rows found = pg::execute("SELECT g.generation_id, g.generation, g.definition_hash, g.phase, t.oid, a.oid,"
                                       "       g.declined, f.reason, date_trunc('second', g.ended_at)::text"
                                       "  FROM readmodel_catalog.generation g"
                                       "  LEFT JOIN readmodel_catalog.failure f USING (generation_id)"
                                       "  LEFT JOIN pg_class t ON t.oid = g.state_table"
                                       "  LEFT JOIN pg_class a ON a.oid = g.alias_table"
                                       " WHERE g.query_id = $1 ORDER BY g.generation",
                                       pg::Args().integer(query.id), true);
    for (uint64 row = 0; row < found.size(); row++)
    {
        KnownGeneration generation;
        generation.id = *found.integer(row, 1);
        generation.number = *found.integer(row, 2);
        generation.hash = *found.text(row, 3);
        generation.phase = phase_named(*found.text(row, 4));
        generation.state_table = found.oid(row, 5);
        generation.alias_table = found.oid(row, 6);
        generation.declined = found.boolean(row, 7);
        generation.failure = found.text(row, 8);
        generation.ended_at = found.text(row, 9).value_or("");
        rows.push_back(std::move(generation));
    }
}

const KnownGeneration &KnownGenerations::numbered(int32 number) const
{
    for (const KnownGeneration &generation : rows)
        if (generation.number == number)
            return generation;
    throw pg::Error(pg::sqlstate::no_such_object,
                    "generation " + std::to_string(number) + " of query " + pg::shown(query_name) + " does not exist")
        .hint("readmodel.generations(" + pg::quoted_literal(query_name) +
              ") lists those that have states or wait at the gate.");
}

const KnownGeneration *KnownGenerations::with_hash(const std::string &hash) const
{
    const KnownGeneration *best = nullptr;
    for (const KnownGeneration &generation : rows)
        if (generation.hash == hash && (!best || generation.has_states() || !best->has_states()))
            best = &generation;
    return best;
}

std::optional<bool> gate_of(const QueryRow &query)
{
    const CatalogScope scope;
    const std::optional<std::string> given =
        pg::execute("SELECT $1::jsonb ->> 'on_change'", pg::Args().text(query.options), true).text(0, 1);
    return given ? std::optional<bool>(*given == "gate") : std::nullopt;
}

void require_not_declined(const QueryRow &query, const KnownGenerations &known, const std::string &hash)
{
    const KnownGeneration *const same = known.with_hash(hash);
    if (!same || same->has_states() || !same->declined)
        return;
    const std::string number = std::to_string(same->number);
    throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "what query " + pg::shown(query.name) + " is defined as now is generation " + number +
                        ", which was " + (same->phase == Phase::rejected ? "rejected" : "cancelled"))
        .hint("SELECT readmodel.activate(" + pg::quoted_literal(query.name) + ", " + number +
              "); builds it all the same. Or put back what was changed.");
}

Phase first_phase(const KnownGenerations &known, const std::optional<bool> &gate)
{
    const bool wanted = gate.value_or(settings::on_change == settings::on_change_gate);
    const bool was_live =
        std::any_of(known.all().begin(), known.all().end(),
                    [](const KnownGeneration &generation) { return generation.phase == Phase::live; });
    return wanted && was_live ? Phase::gated : Phase::rebuilding;
}

void lock_query_row(const QueryRow &query)
{
    const CatalogScope scope;
    require_one_row(pg::execute("SELECT 1 FROM readmodel_catalog.query WHERE query_id = $1 FOR NO KEY UPDATE",
                                pg::Args().integer(query.id)),
                    query.name);
}

Definition load_definition(const QueryRow &query, int32 number)
{
    const CatalogScope scope;
    const LatestSnapshot snapshot;
    const pg::Rows rows =
        pg::execute("SELECT updater, key_expression, key_type, key_is_array, event_types, search_path,"
                    "       version, to_regprocedure(updater)::oid, spec::text"
                    "  FROM readmodel_catalog.generation WHERE query_id = $1 AND generation = $2",
                    pg::Args().integer(query.id).integer(number), true);
    Definition definition;
    definition.updater = rows.text(0, 1).value_or("");
    definition.key_expression = rows.text(0, 2).value_or("");
    definition.key_type = key_type_named(*rows.text(0, 3));
    definition.key_is_array = rows.boolean(0, 4);
    if (const std::optional<Datum> types = rows.get(0, 5))
        definition.event_types = pg::texts_of(*types);
    definition.search_path = *rows.text(0, 6);
    definition.version = rows.text(0, 7);
    definition.updater_oid = rows.oid(0, 8);
    definition.spec = rows.text(0, 9);
    return definition;
}

void require_updater(const QueryRow &query, const Definition &definition)
{
    if (!definition.spec && !OidIsValid(definition.updater_oid))
        throw pg::Error(ERRCODE_UNDEFINED_FUNCTION,
                        "the updater " + definition.updater + " of query " + pg::shown(query.name) + " does not exist")
            .hint("Create it again, or define the query with another updater.");
}

void set_newest(const QueryRow &query, int32 number)
{
    const CatalogScope scope;
    require_one_row(pg::execute("UPDATE readmodel_catalog.query SET newest = $2 WHERE query_id = $1 RETURNING 1",
                                pg::Args().integer(query.id).integer(number)),
                    query.name);
}

void set_phase(const QueryRow &query, const KnownGeneration &generation, Phase phase)
{
    const CatalogScope scope;
    require_one_row(
        pg::execute("UPDATE readmodel_catalog.generation SET phase = $2 WHERE generation_id = $1 RETURNING 1",
                    pg::Args().integer(generation.id).text(name_of(phase))),
        query.name);
}

void clear_failure(const KnownGeneration &generation)
{
    const CatalogScope scope;
    pg::execute("DELETE FROM readmodel_catalog.failure WHERE generation_id = $1", pg::Args().integer(generation.id));
}

void announce_stop(const KnownGenerations &known)
{
    for (const KnownGeneration &generation : known.all())
        if (generation.phase == Phase::rebuilding || generation.phase == Phase::live)
            worker::announce_stop(generation.id);
}

void lock_states(const KnownGeneration &generation)
{
    worker::break_off_folds(generation.id);
    for (const Oid table : {generation.state_table, generation.alias_table})
        if (OidIsValid(table))
            pg::call([&] { LockRelationOid(table, AccessExclusiveLock); });
}

namespace
{

// Without the checkpoint's row no lane moves it any more: a flush that was under way is waited for here, a later one finds that it
// has lost its checkpoint. Whoever notes something else about a generation holds its row (FOR KEY SHARE) meanwhile.
void delete_progress(const std::string &generations, int32 id)
{
    const std::string chosen =
        " WHERE generation_id IN (SELECT generation_id FROM readmodel_catalog.generation WHERE " + generations + ")";
    pg::execute("DELETE FROM readmodel_catalog.checkpoint" + chosen, pg::Args().integer(id));
    pg::execute("SELECT FROM readmodel_catalog.generation WHERE " + generations + " FOR UPDATE",
                pg::Args().integer(id));
    for (const char *const table : {"share", "failure", "dead_letter", "attempt"})
        pg::execute(std::string("DELETE FROM readmodel_catalog.") + table + chosen, pg::Args().integer(id));
    // What came after the snapshot of a REPEATABLE READ transaction was not deleted.
    const LatestSnapshot snapshot;
    if (!pg::execute("SELECT FROM readmodel_catalog.failure" + chosen +
                         " UNION ALL SELECT FROM readmodel_catalog.attempt" + chosen,
                     pg::Args().integer(id), true)
             .empty())
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE, "could not serialize access due to concurrent update");
}

} // namespace

void delete_generations(const QueryRow &query)
{
    delete_progress("query_id = $1", query.id);
    pg::execute("DELETE FROM readmodel_catalog.generation WHERE query_id = $1", pg::Args().integer(query.id));
}

void forget_states(const QueryRow &query, const KnownGeneration &generation, Phase phase, bool declined)
{
    {
        const CatalogScope scope;
        delete_progress("generation_id = $1", generation.id);
        // One row remembers a definition hash, however often it is built anew. The highest number stays, as numbers are not given twice.
        const bool remembered =
            phase == Phase::dropped &&
            !pg::execute("DELETE FROM readmodel_catalog.generation g WHERE generation_id = $1 AND EXISTS"
                         " (SELECT FROM readmodel_catalog.generation later WHERE later.query_id = g.query_id"
                         "   AND later.definition_hash = g.definition_hash AND later.generation > g.generation"
                         "   AND later.state_table IS NOT NULL) RETURNING 1",
                         pg::Args().integer(generation.id))
                 .empty();
        if (!remembered)
            require_one_row(pg::execute("UPDATE readmodel_catalog.generation SET phase = $2, state_table = NULL,"
                                        "       alias_table = NULL, ended_at = now(), declined = $3"
                                        " WHERE generation_id = $1 RETURNING 1",
                                        pg::Args().integer(generation.id).text(name_of(phase)).boolean(declined)),
                            query.name);
    }
    // As the current user, who owns them.
    const pg::AsUser user(GetUserId(), false);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    const pg::Spi spi;
    for (const Oid table : {generation.state_table, generation.alias_table})
        if (OidIsValid(table))
            pg::execute("DROP TABLE " + pg::relation_name(table));
}

} // namespace query
