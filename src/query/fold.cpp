#include "query/fold.hpp"

#include "pg/locks.hpp"
#include "pg/progress_watch.hpp"
#include "pg/transaction.hpp"
#include "query/dead_letter.hpp"
#include "query/function_updater.hpp"
#include "query/spec_updater.hpp"
#include "query/splitting.hpp"
#include "settings.hpp"
#include "worker/in_hand.hpp"
#include "worker/worker_process.hpp"

namespace query
{

namespace
{

constexpr int transient_classes[] = {
    MAKE_SQLSTATE('0', '8', '0', '0', '0'), // connection exception: another server that the updater asks
    MAKE_SQLSTATE('4', '0', '0', '0', '0'), // transaction rollback: serialization failure, deadlock
    MAKE_SQLSTATE('5', '3', '0', '0', '0'), // insufficient resources, but see below
    MAKE_SQLSTATE('5', '7', '0', '0', '0'), // operator intervention: cancelled, shutting down
    MAKE_SQLSTATE('5', '8', '0', '0', '0'), // system error: a disk
};

} // namespace

bool is_transient(int sqlstate)
{
    // Memory that one event's fold cannot get is not there at the next try either.
    if (sqlstate == ERRCODE_OUT_OF_MEMORY)
        return false;
    if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
        return true;
    return std::find(std::begin(transient_classes), std::end(transient_classes), ERRCODE_TO_CATEGORY(sqlstate)) !=
           std::end(transient_classes);
}

namespace
{

std::unique_ptr<PageUpdater> make_updater(const Generation &generation, StateCache &cache, InstanceShare share)
{
    if (generation.definition.spec)
        return std::make_unique<SpecUpdater>(generation, cache, share);
    return std::make_unique<FunctionUpdater>(generation, cache, share);
}

// How long one event may take. Beyond updater_timeout it is an updater error; rebuild_timeout is the limit on no progress at all.
struct Limit
{
    explicit Limit(const LaneOptions &options)
    {
        const int updater = milliseconds_of(options.updater_timeout_ms, settings::updater_timeout);
        const int rebuild = milliseconds_of(options.rebuild_timeout_ms, settings::rebuild_timeout);
        per_event = updater > 0 && (rebuild == 0 || updater <= rebuild);
        milliseconds = per_event ? updater : rebuild;
        const bool option = (per_event ? options.updater_timeout_ms : options.rebuild_timeout_ms).has_value();
        name = std::string(option ? "the option " : "readmodel.") + (per_event ? "updater_timeout" : "rebuild_timeout");
    }

    bool per_event;
    int milliseconds; // 0: none
    std::string name;

private:
    static int milliseconds_of(const std::optional<int64> &option, int setting)
    {
        return option ? static_cast<int>(std::clamp<int64>(*option, 1, INT_MAX)) : setting;
    }
};

} // namespace

Fold::Fold(const Generation &generation_, bool fresh, InstanceShare share)
    : generation(generation_),
      cache(generation_.definition.spec ? StateForm::trees : StateForm::documents),
      store(generation_, fresh && share.count > 1), // the other shares fill the table meanwhile
      updater(make_updater(generation_, cache, share)),
      complete(fresh),
      alone(share.count == 1)
{
}

Fold::~Fold() = default;

// What stopped at an event that may be passed over begins again behind it: nothing of that event is left in any state.
FoldResult Fold::fold(const source::EventPage &page, const MaybePosition &cursor, SharedWork &shared,
                      std::size_t letters)
{
    FoldResult result;
    if (page.empty())
        return result;
    const worker::InHand in_hand(generation.id);
    std::optional<std::int64_t> stored; // letters, asked for when there is one more
    for (MaybePosition from = cursor;;)
    {
        FoldResult part = fold_events(page, from, shared, from == cursor);
        updater->end_page();
        result.events += part.events;
        if (source::before(result.last, part.last))
            result.last = part.last;
        if (!part.stop || !part.stop->skippable || !generation.options.skip_errors)
        {
            result.stop = std::move(part.stop);
            return result;
        }
        if (!alone && splitting_of(generation.definition, true) != Splitting::possible)
        {
            // Split while on_error was fail.
            const char *const why =
                "The rebuild is split, and another lane may have applied the event to its instances; "
                "readmodel.rebuild() begins again with one lane, which can pass over it.";
            part.stop->log_detail += (part.stop->log_detail.empty() ? "" : " ") + std::string(why);
            part.stop->detail += (part.stop->detail.empty() ? "" : "\n") + std::string(why);
            result.stop = std::move(part.stop);
            return result;
        }
        if (!stored)
            stored = count_dead_letters(generation.id);
        const int most = generation.options.max_dead_letters;
        if (*stored + static_cast<std::int64_t>(letters + result.passed_over.size()) >= most)
        {
            part.stop->log_detail +=
                (part.stop->log_detail.empty() ? "" : " ") +
                ("max_dead_letters (" + std::to_string(most) + ") events were passed over already.");
            part.stop->detail += (part.stop->detail.empty() ? "" : "\n") +
                                 ("max_dead_letters (" + std::to_string(most) + ") events were passed over already.");
            part.stop->hint = "Raise the option \"max_dead_letters\", or mend the cause and call "
                              "readmodel.retry_dead_letters(), or give events up with readmodel.discard_dead_letter(); "
                              "then call readmodel.retry().";
            result.stop = std::move(part.stop);
            return result;
        }
        from = result.last = part.stop->position;
        result.passed_over.push_back(std::move(*part.stop));
    }
}

FoldResult Fold::fold_events(const source::EventPage &page, const MaybePosition &cursor, SharedWork &shared, bool first)
{
    FoldResult result;

    updater->begin_page(shared);
    PassOverPage pass;
    cache.tick();

    const Limit limit(generation.options);
    std::optional<pg::PgError> error;
    bool expired = false; // the limit, and that is the error
    const auto guarded = [&](auto &&body)
    {
        error = pg::attempt(true,
                            [&]
                            {
                                const pg::AsUser owner(generation.owner, true);
                                pg::pin_surroundings(generation.definition.search_path);
                                const worker::WorkerProcess::UserCode user_code;
                                const pg::ProgressWatch watch(limit.milliseconds);
                                body();
                            });
        expired = error && error->sqlstate() == ERRCODE_QUERY_CANCELED && pg::ProgressWatch::expired();
    };

    guarded([&] { updater->select(page, cursor, complete, pass); });
    const std::optional<pg::PgError> key_error = error;
    const bool key_expired = expired;
    if (error)
        updater->recover();
    const std::size_t key_stop = pass.at;

    if (!updater->empty())
    {
        // Locked before anything is read from it: who drops or alters it waits for this transaction, and this one for nobody.
        const pg::LockAttempt attempt = pg::try_lock(generation.state_table, RowExclusiveLock);
        if (attempt != pg::LockAttempt::locked)
        {
            result.stop = FoldStop{
                attempt == pg::LockAttempt::busy ? FoldStop::Kind::locked : FoldStop::Kind::transient,
                "",
                page.positions()[updater->first()],
                "55P03",
                attempt == pg::LockAttempt::busy ? "the table of states is locked" : "the table of states was dropped",
                attempt == pg::LockAttempt::busy ? pg::blocker_of(generation.state_table, RowExclusiveLock) : 0};
            return result;
        }
        // A table that was altered, or given away, is the generation's own affair.
        const auto load = [&]
        {
            updater->load_references(complete);
            load_states();
        };
        if (complete)
            load();
        else if (const std::optional<pg::PgError> fault = pg::attempt(true, load))
        {
            const std::size_t first = updater->first();
            if (first > 0)
                result.last = page.positions()[first - 1];
            result.stop =
                FoldStop{is_transient(fault->sqlstate()) ? FoldStop::Kind::transient : FoldStop::Kind::updater,
                         "updater_error",
                         page.positions()[first],
                         fault->sqlstate_text(),
                         std::string(fault->message()),
                         0};
            return result;
        }

        pass.at = updater->first(); // nothing is applied yet, whatever may raise before the first event
        if (first)
            worker::WorkerProcess::begin_slice();
        guarded([&] { updater->apply(page, pass); });
        if (error)
            updater->recover();
        result.events = pass.applied;
        if (!error && !pass.left)
        {
            error = key_error;
            expired = key_expired;
            pass.at = key_stop;
        }
    }

    if (!error && !pass.left)
    {
        result.last = page.last();
        return result;
    }
    const Position position = page.positions()[std::min(pass.at, page.size() - 1)];
    if (pass.at > 0)
        result.last = page.positions()[pass.at - 1];
    if (pass.left)
    {
        result.stop = FoldStop{FoldStop::Kind::interrupted, "", position, "", "", 0};
        return result;
    }
    FoldStop stop{
        FoldStop::Kind::updater, "updater_error", position, error->sqlstate_text(), std::string(error->message()), 0};
    if (const char *const detail = error->data().detail)
        stop.detail = detail;
    if (const char *const log_detail = error->data().detail_log)
        stop.log_detail = log_detail;
    if (error->sqlstate() == ERRCODE_QUERY_CANCELED && worker::WorkerProcess::terminating())
    {
        stop.kind = FoldStop::Kind::interrupted;
        worker::InHand::interrupted(generation.id, position);
    }
    else if (error->sqlstate() == ERRCODE_QUERY_CANCELED && !expired && worker::WorkerProcess::definitions_moved())
        stop.kind =
            FoldStop::Kind::interrupted; // by whoever changed them: they are loaded, and the event is tried again
    else if (expired)
    {
        stop.reason = limit.per_event ? "updater_error" : "timeout";
        stop.message = "the updater ran longer than " + limit.name + " (" + std::to_string(limit.milliseconds) +
                       " ms) for one event";
        stop.skippable = limit.per_event;
    }
    else if (is_transient(error->sqlstate()))
        stop.kind = FoldStop::Kind::transient;
    else
        // States that were changed by hand are no event's fault, and would make a dead letter of each.
        stop.skippable = error->sqlstate() != ERRCODE_DATA_CORRUPTED;
    result.stop = std::move(stop);
    return result;
}

void Fold::load_states()
{
    std::vector<StateCache::Entry *> unknown;
    for (StateCache::Entry *const entry : updater->entries())
        if (!entry->second.known)
        {
            if (complete)
                entry->second.known = true;
            else
                unknown.push_back(entry);
        }
    std::sort(unknown.begin(), unknown.end());
    unknown.erase(std::unique(unknown.begin(), unknown.end()), unknown.end());
    store.load(unknown, cache);
}

void Fold::write()
{
    const worker::InHand in_hand(generation.id);
    store.write(cache);
    updater->write();
}

void Fold::written(bool keep)
{
    cache.flushed();
    updater->written(keep);
    if (!keep)
        forget();
}

void Fold::evict(size_t most)
{
    if (bytes() <= most)
        return;
    updater->forget(); // aliases are few, or cheap to find again
    cache.evict(most);
    complete = false;
}

void Fold::forget()
{
    cache.clear();
    updater->forget();
    complete = false;
}

} // namespace query
