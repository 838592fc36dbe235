#include "query/takeover.hpp"

#include "pg/locks.hpp"
#include "query/carry_over.hpp"
#include "query/catalog.hpp"
#include "query/view.hpp"
#include "settings.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

pg::Error view_is_read(Oid view, const char *detail)
{
    return pg::Error(ERRCODE_LOCK_NOT_AVAILABLE, "could not obtain lock on view " + pg::relation_name(view))
        .detail(detail);
}

} // namespace

int takeover_patience_ms(int tries)
{
    constexpr int longest = 100;
    if (tries < tries_without_waiting)
        return 0;
    return std::min(10 << std::min(tries - tries_without_waiting, 10), longest);
}

TakeoverBlocker takeover_blocker(const Generation &generation)
{
    if (generation.newest && !generation.serving && OidIsValid(generation.view))
        if (const int pid = pg::blocker_of(generation.view, AccessExclusiveLock))
            return {pid, generation.view};
    if (const int pid = pg::blocker_of(generation.state_table, AccessShareLock))
        return {pid, generation.state_table};
    const std::optional<ServingStates> serving = serving_states(generation);
    return serving ? TakeoverBlocker{pg::blocker_of(serving->table, serving->mode), serving->table} : TakeoverBlocker();
}

void take_over(const Generation &generation, int patience_ms)
{
    std::optional<ShownGeneration> shown;
    // Before the row, as everybody locks them. A view that was made anew since the generation was loaded is only tried, below.
    if (patience_ms > 0 && generation.newest && !generation.serving && OidIsValid(generation.view))
    {
        require_prepared(generation); // or the view's readers would wait for nothing
        pg::lock_within(generation.view, AccessExclusiveLock, patience_ms);
    }
    // The view is going to read them: whoever has locked them, to give them up, may be about to lock the query's row.
    if (pg::try_lock(generation.state_table, AccessShareLock) == pg::LockAttempt::busy)
        throw pg::Error(ERRCODE_LOCK_NOT_AVAILABLE,
                        "could not obtain lock on table " + pg::relation_name(generation.state_table))
            .detail("The states are being changed or given up.");
    {
        const CatalogScope scope;
        // Locks the query's row: a define_query that makes a newer generation comes before or after this, not in between.
        // The row is not waited for, nor is the view from here on (55P03; the caller tries again), so the order in which others lock
        // them, the view first, cannot end in a circle.
        const pg::Rows rows = pg::execute("SELECT q.newest = g.generation, q.serving = g.generation, v.oid, t.oid,"
                                          "       g.phase IN ('rebuilding', 'live'), q.paused_at IS NOT NULL"
                                          "  FROM readmodel_catalog.query q"
                                          "  JOIN readmodel_catalog.generation g USING (query_id)"
                                          "  LEFT JOIN pg_class v ON v.oid = q.view"
                                          "  LEFT JOIN pg_class t ON t.oid = g.state_table"
                                          " WHERE g.generation_id = $1 FOR NO KEY UPDATE OF q, g NOWAIT",
                                          pg::Args().integer(generation.id));
        if (rows.empty() || !rows.boolean(0, 5))
            throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE, "generation " + std::to_string(generation.number) +
                                                                   " of query " + pg::shown(generation.query_name) +
                                                                   " was given up meanwhile");
        if (rows.boolean(0, 6))
            throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                            "query " + pg::shown(generation.query_name) + " was paused meanwhile")
                .hint("readmodel.resume() lets it go on.");
        const bool serves = rows.boolean(0, 1) && !rows.boolean(0, 2);
        if (serves)
            require_prepared(generation);
        pg::execute("UPDATE readmodel_catalog.generation SET phase = 'live', ready_at = now(), events_replayed ="
                    "       (SELECT events_applied FROM readmodel_catalog.checkpoint WHERE generation_id = $1)"
                    " WHERE generation_id = $1 AND phase = 'rebuilding'",
                    pg::Args().integer(generation.id));
        if (serves)
        {
            pg::execute("UPDATE readmodel_catalog.query SET serving = newest WHERE query_id = $1",
                        pg::Args().integer(generation.query_id));
            shown = ShownGeneration{generation.query_id, generation.query_name, rows.oid(0, 3),
                                    generation.id,       rows.oid(0, 4),        generation.definition.key_type};
        }
    }
    if (shown)
        show_generation(*shown);
    worker::announce_definitions();
}

void show_generation(const ShownGeneration &shown)
{
    const Oid view = shown.view;
    if (!OidIsValid(view))
        return;
    // Not waiting for the view's readers, behind whom other readers would queue.
    if (pg::try_lock(view, AccessExclusiveLock) != pg::LockAttempt::locked)
        throw view_is_read(view, "A reader holds it; others are not to wait behind the takeover.");
    const bool recreate = pg::call([&] { return get_atttype(view, 1); }) != type_oid(shown.key_type);
    if (recreate)
    {
        const std::string dependents = dependents_of_view(view);
        if (!dependents.empty())
            throw pg::Error(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
                            "cannot recreate the view of query " + pg::shown(shown.query_name) +
                                " for another key type because other objects depend on it")
                .detail("They are: " + dependents + ".")
                .hint("Drop them; the takeover is tried again.");
    }
    const Oid now = replace_view(view, shown.generation_id, shown.state_table, recreate);
    if (now != view)
    {
        const CatalogScope scope;
        pg::execute("UPDATE readmodel_catalog.query SET view = $2 WHERE query_id = $1",
                    pg::Args().integer(shown.query_id).regclass(now));
    }
}

void lock_view_between_readers(Oid view, const std::string &query_name)
{
    const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), settings::lock_timeout);
    while (OidIsValid(view) && pg::try_lock(view, AccessExclusiveLock) == pg::LockAttempt::busy)
    {
        if (GetCurrentTimestamp() >= deadline)
            throw view_is_read(view, "Somebody reads it, and other readers are not to wait behind this.")
                .hint("Call it again when the transactions that read query " + pg::shown(query_name) +
                      " have ended; pg_locks shows them.");
        pg::call(
            []
            {
                (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
                ResetLatch(MyLatch);
                CHECK_FOR_INTERRUPTS();
            });
    }
}

} // namespace query
