// What the tail worker does about definitions: notices that one was changed under its generations, freezes these, has the query defined
// as it is now, and drops what a takeover has left over.

#include "pg/locks.hpp"
#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/catalog.hpp"
#include "query/function_watch.hpp"
#include "query/generation_check.hpp"
#include "query/redefine.hpp"
#include "query/superseded.hpp"
#include "worker/publish.hpp"
#include "worker/tail_worker.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

// No event need come for a change to be noticed within a second.
constexpr long look_ms = 500;

constexpr long busy_ms = 100;

} // namespace

void TailWorker::reload_in(long milliseconds)
{
    const TimestampTz due = in_ms(milliseconds);
    if (reload_at == 0 || due < reload_at)
        reload_at = due;
}

// Functions and event tables announce themselves by the server's invalidation messages, which are read with each transaction; the
// mapping of a source is a row of ours, which does not.
void TailWorker::look_for_changes()
{
    if (generations.empty() || GetCurrentTimestamp() < look_at)
        return;
    look_at = in_ms(look_ms);
    try
    {
        std::string now;
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const query::CatalogScope scope;
            static pg::Statement mappings("SELECT string_agg(s::text, ',' ORDER BY s.source_id)"
                                          "  FROM readmodel_catalog.source s");
            now = mappings.execute({}, true).text(0, 1).value_or("");
        }
        transaction.commit();
        if (now != sources_seen)
            verified.clear();
        if (now != sources_seen || query::function_changes() != functions_seen)
            reload_wanted = true;
        sources_seen = now;
    }
    catch (const pg::Failure &error)
    {
        pg::log(WARNING, "pg_readmodel could not look for changed definitions: " + std::string(error.text()));
    }
}

// Its definitions cannot be compared now, so nothing is folded by them; the other sources do not wait.
void TailWorker::set_aside_locked(TailSource &tail)
{
    const int blocker = pg::blocker_of(tail.config.events, AccessShareLock);
    for (const query::Generation &generation : generations)
        if (generation.source_id == tail.config.id)
            publish_block(generation.id, Block::lock, blocker, "the event table is locked");
    tail.lane.abandon();
    tail.lane.members().clear();
    tail.usable = false;
    reload_in(busy_ms);
}

// A generation goes on only as what it was defined as; it stands at its checkpoint, and if that is put back, it goes on there.
void TailWorker::freeze_changed()
{
    const uint64 changes = query::function_changes();
    if (changes != functions_seen)
        verified.clear();
    functions_seen = changes;
    bool frozen = false;
    for (query::Generation &generation : generations)
    {
        const bool gone = generation.phase == query::Phase::rejected || generation.phase == query::Phase::dropped;
        const bool failed_otherwise = generation.failed && !generation.frozen;
        // An older one that has failed stays as it is: nobody follows its definition.
        if (gone || (failed_otherwise && !generation.newest) ||
            (verified.contains(generation.id) && !generation.frozen))
            continue;
        const auto tail = std::find_if(sources.begin(), sources.end(),
                                       [&](const auto &held) { return held->config.id == generation.source_id; });
        // What is missing altogether is told when it is assigned a lane.
        if (tail == sources.end() || !(*tail)->usable || query::check_generation(generation, (*tail)->config))
            continue;
        if (pg::try_lock((*tail)->config.events, AccessShareLock) == pg::LockAttempt::busy)
        {
            set_aside_locked(**tail);
            continue;
        }
        if (query::definition_unchanged(generation))
        {
            verified.insert(generation.id);
            if (failed_otherwise)
                continue;
            if (generation.frozen)
                query::unfreeze(generation.id);
            generation.failed = generation.frozen = false;
            continue;
        }
        verified.erase(generation.id);
        if (generation.frozen)
            continue;
        generation.failed = true; // whatever its failure says
        if (query::freeze(generation.id))
            generation.frozen = frozen = true;
    }
    if (frozen)
        announce_definitions(); // rebuild lanes must stop too
}

// After a reload, in transactions of their own. True: there is something new to load.
bool TailWorker::settle_generations()
{
    bool changed = false;
    for (const query::Generation &generation : generations)
        if (generation.newest && generation.frozen)
            changed |= redefine(generation);
    for (const query::Generation *const generation : query::beyond_kept(generations))
        changed |= drop(*generation);
    return changed;
}

bool TailWorker::redefine(const query::Generation &generation)
{
    try
    {
        pg::Transaction transaction;
        process.enter_transaction();
        query::Redefinition result = query::Redefinition::none;
        {
            const pg::FreshSnapshot snapshot;
            result = query::redefine(generation.query_name);
        }
        transaction.commit();
        if (result == query::Redefinition::busy)
            reload_in(busy_ms);
        return result == query::Redefinition::done;
    }
    catch (const pg::Failure &error)
    {
        pg::log(WARNING, "query " + pg::shown(generation.query_name) +
                             " could not be defined as it is now: " + std::string(error.text()));
        reload_in(longest_retry_ms);
        return false;
    }
}

bool TailWorker::drop(const query::Generation &generation)
{
    try
    {
        pg::Transaction transaction;
        process.enter_transaction();
        query::Dropping result = query::Dropping::none;
        {
            const pg::FreshSnapshot snapshot;
            result = query::drop_superseded(generation);
        }
        transaction.commit();
        if (result == query::Dropping::busy)
            reload_in(longest_retry_ms / 10);
        return result == query::Dropping::done;
    }
    catch (const pg::Failure &error)
    {
        if (query::is_transient(error.code()))
            reload_in(longest_retry_ms / 10);
        else if (told_in_use.insert(generation.id).second)
            pg::log(WARNING,
                    "generation " + std::to_string(generation.number) + " of query " +
                        pg::shown(generation.query_name) +
                        " is kept, though it is more than keep_generations allows: " + std::string(error.text()));
        return false;
    }
}

} // namespace worker
