#include "query/redefine.hpp"

#include "pg/log.hpp"
#include "query/definition.hpp"
#include "query/definition_hash.hpp"
#include "query/fold.hpp"
#include "query/known_generations.hpp"
#include "query/new_generation.hpp"
#include "query/view.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

void tell(const QueryRow &query, const std::string &what)
{
    pg::log(LOG, "the definition of query " + pg::shown(query.name) + " was changed: " + what);
}

void define_as_it_is_now(const QueryRow &query, const KnownGenerations &known, const KnownGeneration &newest)
{
    const Definition definition = load_definition(query, newest.number);
    require_updater(query, definition);
    if (!definition.spec)
    {
        const pg::AsUser owner(query.owner, true);
        check_updater(definition.updater_oid);
    }
    const std::string hash = definition_hash(query.source_id, definition);
    if (hash == newest.hash)
    {
        clear_failure(newest);
        return;
    }
    const KnownGeneration *const other = known.with_hash(hash);
    if (other && other->has_states())
    {
        // Put back as it was before: that generation goes on at its checkpoint.
        set_newest(query, other->number);
        if (other->frozen())
            clear_failure(*other);
        tell(query, "it is that of generation " + std::to_string(other->number) + " again");
        return;
    }
    require_not_declined(query, known, hash);
    require_key_can_change(query.view, query.name, definition.key_type);
    const int32 number = known.all().back().number + 1;
    const Phase phase = first_phase(known, gate_of(query));
    build_generation(query, number, definition, hash, phase);
    tell(query, "generation " + std::to_string(number) + (phase == Phase::gated ? " waits for approval" : " is built"));
}

// Only where it says something else than before: it is tried again with every reload.
void note(const KnownGeneration &newest, const pg::PgError &error)
{
    std::string told = "the definition was changed, and cannot be followed: " + std::string(error.message());
    if (const char *const detail = error.data().detail)
        told += std::string("\nDETAIL:  ") + detail;
    if (const char *const hint = error.data().hint)
        told += std::string("\nHINT:  ") + hint;
    const CatalogScope scope;
    pg::execute("UPDATE readmodel_catalog.failure SET message = $2, sqlstate = $3"
                " WHERE generation_id = $1 AND reason = 'definition_changed'"
                "   AND (message IS DISTINCT FROM $2 OR sqlstate IS DISTINCT FROM $3)",
                pg::Args().integer(newest.id).text(told).text(error.sqlstate_text()));
}

} // namespace

bool freeze(int32 generation_id)
{
    const CatalogScope scope;
    return !pg::execute(
                "INSERT INTO readmodel_catalog.failure (generation_id, reason, message)"
                " SELECT generation_id, 'definition_changed', 'the updater, the source''s mapping or the type of"
                " a column was changed after this generation was defined'"
                "   FROM readmodel_catalog.generation WHERE generation_id = $1 FOR KEY SHARE"
                " ON CONFLICT (generation_id) DO UPDATE SET reason = excluded.reason, position = NULL,"
                "       sqlstate = NULL, message = excluded.message, failed_at = now()"
                " WHERE failure.reason IN ('updater_error', 'timeout') RETURNING 1",
                pg::Args().integer(generation_id))
                .empty();
}

void unfreeze(int32 generation_id)
{
    const CatalogScope scope;
    pg::execute("DELETE FROM readmodel_catalog.failure WHERE generation_id = $1 AND reason = 'definition_changed'",
                pg::Args().integer(generation_id));
}

Redefinition redefine(const std::string &query_name)
{
    if (!try_lock_query_name(query_name))
        return Redefinition::busy;
    const std::optional<QueryRow> query = find_query(query_name);
    if (!query)
        return Redefinition::none;
    const KnownGenerations known(*query);
    const KnownGeneration &newest = known.numbered(query->newest);
    if (!newest.frozen())
        return Redefinition::none;
    if (const std::optional<pg::PgError> error =
            pg::attempt(false, [&] { define_as_it_is_now(*query, known, newest); }))
    {
        if (is_transient(error->sqlstate()))
            return Redefinition::busy;
        note(newest, *error);
        return Redefinition::none;
    }
    worker::announce_definitions();
    return Redefinition::done;
}

} // namespace query
