// A rebuild worker: one pass over the log for the generations of one rebuild lane, then it hands them to the tail.
//
//     take the generations that are assigned to the lane
//     repeat   read and fold a page up to the published settled position        (short transactions without an xid)
//              now and then: flush states and checkpoints                       (one transaction)
//     until less than a page remains; flush; carry indexes over; hand over
//
// A crash goes on from the last flush: the lane's slot stays, and the launcher starts another worker for it.
//
// A rebuild that is split has a lane for each share (query/share.hpp): up to the position where they all end, and what is handed over
// then is the generation, by the last of them.

#include "pg/locks.hpp"
#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/alias_store.hpp"
#include "query/carry_over.hpp"
#include "query/generation_check.hpp"
#include "settings.hpp"
#include "source/source_watch.hpp"
#include "worker/faults.hpp"
#include "worker/publish.hpp"
#include "worker/rate_limit.hpp"
#include "worker/set_aside.hpp"
#include "worker/wakeup.hpp"
#include "worker/worker_process.hpp"

namespace worker
{

namespace
{

constexpr long retry_ms = 500;
constexpr int most_retries = 5; // then the launcher takes over, with its backoff

// The longest sleep between two looks at what may have changed.
constexpr long longest_sleep_ms = 1000;
constexpr std::int64_t progress_line_us = 10'000'000;

size_t cache_bytes()
{
    return static_cast<size_t>(settings::state_cache) * 1024;
}

class RebuildWorker
{
public:
    RebuildWorker(WorkerProcess &worker_process, uint64 lane_number) : process(worker_process), number(lane_number) {}

    void run();

private:
    bool load();
    std::string activity() const;
    void work();
    bool fold_page(const MaybePosition &settled);
    void flush(bool finished = false);
    bool flush_due() const;
    MaybePosition settled_position() const;
    bool far_from_settled(Position settled) const;
    void set_aside_those_that_are_locked();
    void leave_those_that_stopped();
    void wait_for_retry();
    bool try_again(const pg::Failure &error);
    void retry(const pg::Failure &error);
    bool prepare_takeover();
    void hand_over();
    void end_lane();
    void log_progress();
    bool definitions_moved() const { return process.announcements().definitions != definitions_seen; }
    void limit_rate();

    WorkerProcess &process;
    uint64 number;
    int32 split_generation = 0; // the lane has one share of this generation, and nothing else
    int32 share = 0;
    bool merged = false; // and it was the last that came to its end
    std::optional<source::EventSource> config;
    std::unique_ptr<Lane> lane;
    MaybePosition end; // where the log ended when less than a page was left
    TimestampTz flushed_at = 0;
    TimestampTz logged_at = 0;
    RateLimit rate;
    SetAside waiting;
    bool flushing = false;    // where an error came from
    bool flush_alone = false; // the last flush failed, and it is not known by whose fault
    uint64 definitions_seen = 0;
    int failures = 0;
};

// Loads the lane's generations as the catalog has them. False: none is left.
bool RebuildWorker::load()
{
    source::begin_loading();
    definitions_seen = process.announcements().definitions;
    lane.reset();
    end.reset();
    pg::Transaction transaction;
    process.enter_transaction();
    auto snapshot = std::make_unique<pg::FreshSnapshot>();
    bool left_some = false;
    const std::vector<int32> ids = assigned_to(number, split_generation);
    waiting.keep_only(ids);
    const TimestampTz now = GetCurrentTimestamp();
    const std::vector<query::Generation> all = query::load_generations();
    std::vector<source::EventSource> sources = source::load_sources();
    for (const int32 id : ids)
    {
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const query::Generation &g) { return g.id == id && !g.stands_still(); });
        if (found == all.end())
        {
            assign(id, Assignment::none);
            waiting.forget(id);
            continue;
        }
        const query::Share *const part = split_generation != 0 ? found->unfinished_share(share) : nullptr;
        if (split_generation != 0 ? !part : !found->shares.empty())
            continue; // finished, or split meanwhile: other lanes have it
        if (waiting.waits(id, now))
            continue;
        if (!lane)
        {
            const auto source = std::find_if(sources.begin(), sources.end(),
                                             [&](const source::EventSource &s) { return s.id == found->source_id; });
            if (source == sources.end() || source::check_source(*source))
            {
                waiting.clear(); // the lane ends
                break;
            }
            config = *source;
            lane = std::make_unique<Lane>(*config);
        }
        // What is not as it should be is the tail's to report: it looks at every generation that has no lane.
        const auto leave = [&]
        {
            lane->remove(id);
            assign(id, Assignment::none);
            waiting.forget(id);
            left_some = true;
        };
        if (query::check_generation(*found, *config))
        {
            leave();
            continue;
        }
        // The updater is accepted first and compared then: what is replaced in between is noticed here or before the fold.
        Member &member = lane->add(*found, part ? std::optional(*part) : std::nullopt);
        member.fold.accept_updater();
        if (!query::definition_unchanged(*found))
        {
            leave();
            continue;
        }
        query::record_start(id);
        if (waiting.contains(id))
            waiting.try_again(id); // stalled until a flush shows otherwise
        else
            publish(member, Assignment::rebuild);
    }
    snapshot.reset();
    transaction.commit();
    if (left_some)
        announce_now();
    return lane && !lane->empty();
}

void RebuildWorker::run()
{
    {
        const SharedLock lock(LW_SHARED);
        if (const RebuildSlot *const slot = find_rebuild(number))
        {
            split_generation = slot->generation_id;
            share = slot->share;
        }
    }
    while (!process.stop_requested())
    {
        flushing = false;
        try
        {
            if (!load())
            {
                if (waiting.empty())
                {
                    end_lane();
                    return;
                }
                wait_for_retry();
                continue;
            }
            flushed_at = logged_at = GetCurrentTimestamp();
            rate.begin(flushed_at);
            work();
            failures = 0;
        }
        catch (const Lane::SourceChanged &)
        {
            // Load it again.
        }
        catch (const Lane::LostCheckpoint &)
        {
            // catch_up or an operator moved it: begin again where it stands now.
        }
        catch (const Lane::UpdaterChanged &changed)
        {
            assign(changed.generation_id, Assignment::none);
            announce_now(); // the tail says what is wrong with it, or assigns it anew
        }
        catch (const pg::Failure &error)
        {
            if (!try_again(error))
                throw;
        }
        catch (const std::exception &error)
        {
            if (!try_again(pg::Error(ERRCODE_INTERNAL_ERROR, error.what())))
                throw;
        }
    }
}

// False: it was tried often enough.
bool RebuildWorker::try_again(const pg::Failure &error)
{
    // From the last flush, one by one: then it shows who it is.
    if (flushing && !std::exchange(flush_alone, true))
        return true;
    if (++failures > most_retries)
        return false;
    retry(error);
    return true;
}

// None of the members is known to be the cause.
void RebuildWorker::retry(const pg::Failure &error)
{
    const bool locked = error.code() == ERRCODE_LOCK_NOT_AVAILABLE;
    int blocker = 0;
    if (locked && config)
    {
        pg::Transaction transaction;
        blocker = pg::blocker_of(config->events, AccessShareLock);
        transaction.commit();
    }
    if (lane)
        for (const auto &member : lane->members())
            publish_block(member->generation.id, locked ? Block::lock : Block::transient, blocker,
                          lane->note_of(error));
    // The text of an error in the data can quote the data, which has no place in the log.
    const bool may_quote = ERRCODE_TO_CATEGORY(error.code()) == ERRCODE_DATA_EXCEPTION;
    pg::log(WARNING, "a rebuild could not go on" + (may_quote ? std::string() : ": " + std::string(error.text())),
            "SQLSTATE " + error.code_text() + ". It is tried again.");
    process.sleep(retry_ms * failures);
}

// With nothing else to do.
void RebuildWorker::wait_for_retry()
{
    process.report("waiting to go on with a rebuild");
    while (!process.stop_requested() && !definitions_moved() && !waiting.due())
        process.sleep(std::max(1L, waiting.milliseconds_until_due(longest_sleep_ms)));
}

// Up to where the lane reads.
MaybePosition RebuildWorker::settled_position() const
{
    if (split_generation != 0)
        return lane->members().front()->share->up_to;
    const std::optional<SourceSlot> slot = source_snapshot(config->id);
    return slot ? slot->settled.get() : std::nullopt;
}

// More than a page was settled since `settled` was read: the tail need not work that off.
bool RebuildWorker::far_from_settled(Position settled) const
{
    if (split_generation != 0)
        return false;
    const std::optional<SourceSlot> slot = source_snapshot(config->id);
    const MaybePosition now = slot ? slot->settled.get() : std::nullopt;
    return now && *now > settled && *now - settled > settings::batch_size;
}

// Of a rebuild that is split each lane shows, and how many there are.
std::string RebuildWorker::activity() const
{
    const Member &first = *lane->members().front();
    if (!first.share)
        return "rebuilding from " + config->name;
    return "rebuilding " + first.generation.query_name + " from " + config->name + ", lane " +
           std::to_string(first.share->number + 1) + " of " + std::to_string(first.share->count);
}

// Until nothing is left to do, the definitions change, or the worker is to stop.
void RebuildWorker::work()
{
    process.report(activity());
    while (!process.stop_requested())
    {
        if (definitions_moved() || source::watched_changed() || waiting.due())
        {
            flush();
            leave_those_that_stopped();
            return; // dropped, paused, failed by an operator, or to be taken up again: look
        }
        const MaybePosition settled = settled_position();
        if (!settled)
        {
            wake_tail();
            process.sleep(10); // the tail has not settled anything yet
            continue;
        }
        const bool done = fold_page(settled) && !far_from_settled(*settled);
        set_aside_those_that_are_locked();
        if (done || flush_due())
            flush(done);
        leave_those_that_stopped();
        if (lane->empty())
            return;
        if (done)
        {
            if (prepare_takeover() && split_generation == 0)
            {
                process.report(activity());
                continue; // that took its time: more is settled by now
            }
            hand_over();
            return;
        }
        log_progress();
        limit_rate();
        if (lane->empty())
            return;
    }
    flush();
}

// True if less than a page was left, and it is folded: of a split rebuild all of it, else what was settled when the lane first came so
// near to the end. A log that grows faster than it is folded cannot keep it from being handed over.
bool RebuildWorker::fold_page(const MaybePosition &settled)
{
    Lane::Page page;
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            FAULT_POINT(before_read);
            const pg::Spi spi;
            page = lane->fold_up_to(settled, settings::batch_size);
        }
        transaction.commit();
    }
    rate.add(static_cast<std::int64_t>(page.events));
    if (page.caught_up && !end)
        end = settled;
    return page.caught_up && (!page.left || (split_generation == 0 && !source::before(lane->cursor(), end)));
}

bool RebuildWorker::flush_due() const
{
    return TimestampDifferenceExceeds(flushed_at, GetCurrentTimestamp(), settings::flush_interval) ||
           lane->bytes() > cache_bytes() || lane->stopped() || waiting.any_is_tried();
}

// `finished`: the lane has come to its end, and nothing stands still.
void RebuildWorker::flush(bool finished)
{
    if (flush_alone || !waiting.empty())
        lane->flush_one_by_one();
    flushing = true;
    bool was_last = false;
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::Spi spi;
            lane->flush(true);
            if (finished && split_generation != 0 && !lane->empty() && !lane->stopped())
            {
                const pg::FreshSnapshot snapshot; // the statements take their own, but will not run without one
                const query::Generation &generation = lane->members().front()->generation;
                pg::call(
                    [&]
                    { LockRelationOid(generation.state_table, RowExclusiveLock); }); // as drop_query: relations first
                const std::optional<bool> last = query::finish_share(split_generation, share);
                if (!last)
                    throw Lane::LostCheckpoint{split_generation};
                was_last = *last;
                if (was_last)
                    query::merge_aliases(generation);
            }
        }
        FAULT_POINT(before_commit);
        transaction.commit();
    }
    FAULT_POINT(after_commit);
    flushing = flush_alone = false;
    merged = was_last;
    lane->committed(true);
    if (lane->bytes() > cache_bytes())
        lane->evict(cache_bytes() / 2); // so that the next flush is as far away as it can be
    flushed_at = GetCurrentTimestamp();
    FAULT_POINT(before_publish);
    for (const auto &member : lane->members())
    {
        if (member->stop && member->stop->kind != query::FoldStop::Kind::interrupted)
        {
            count_batches(*member);
            continue;
        }
        waiting.forget(member->generation.id);
        publish(*member, Assignment::rebuild);
    }
}

// Before the flush, which would wait for the lock. What they have not stored is done again.
void RebuildWorker::set_aside_those_that_are_locked()
{
    const auto is_locked = [](const auto &member)
    { return member->stop && member->stop->kind == query::FoldStop::Kind::locked; };
    for (const auto &member : lane->members())
        if (is_locked(member))
            waiting.add(*member);
    std::erase_if(lane->members(), is_locked); // the lane reads from where the last of its members stands
}

// A failed one is recorded; one that is to be tried again is set aside.
void RebuildWorker::leave_those_that_stopped()
{
    bool any_failed = false;
    for (const auto &member : lane->members())
        if (member->stop && member->stop->kind == query::FoldStop::Kind::interrupted)
            member->stop.reset(); // it stands where it left the page, which is flushed
        else if (member->failed)
        {
            assign(member->generation.id, Assignment::none);
            any_failed = true;
        }
        else if (member->stop)
            waiting.add(*member);
    std::erase_if(lane->members(), [](const auto &member) { return !!member->stop; });
    if (any_failed)
        announce_now();
}

// True if there was something to do: indexes are built here, where nobody else waits for it.
bool RebuildWorker::prepare_takeover()
{
    if (split_generation != 0 && !merged)
        return false;
    bool any = false;
    for (const auto &member : lane->members())
    {
        process.report("preparing the takeover of " + member->generation.query_name);
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::FreshSnapshot snapshot;
            any |= query::prepare_takeover(member->generation);
        }
        transaction.commit();
    }
    return any;
}

void RebuildWorker::hand_over()
{
    FAULT_POINT(before_hand_over);
    // Of a split generation there is nothing to hand over before all shares are finished.
    if (split_generation == 0 || merged)
        for (const auto &member : lane->members())
            assign(member->generation.id, Assignment::handed_over);
    lane->members().clear();
    announce_now();
}

void RebuildWorker::end_lane()
{
    {
        const SharedLock lock(LW_EXCLUSIVE);
        if (RebuildSlot *const slot = find_rebuild(number))
            slot->database = InvalidOid;
        // Another lane of the same generation may still run: it is the one that moves it now.
        if (GenerationSlot *const slot = find_generation(MyDatabaseId, split_generation);
            split_generation != 0 && slot && slot->worker_pid == MyProcPid)
        {
            slot->worker_pid = 0;
            for (const RebuildSlot &other : shared()->rebuilds)
                if (other.database == MyDatabaseId && other.generation_id == split_generation && other.pid != 0)
                    slot->worker_pid = other.pid;
        }
    }
    announce_now();
}

void RebuildWorker::log_progress()
{
    const TimestampTz now = GetCurrentTimestamp();
    if (!settings::log_progress || now - logged_at < progress_line_us)
        return;
    logged_at = now;
    {
        // The lanes of a rebuild that is split take turns: it is one line for the query.
        const SharedLock lock(LW_EXCLUSIVE);
        GenerationSlot *const slot = find_generation(MyDatabaseId, split_generation);
        if (slot && now - slot->logged_at < progress_line_us)
            return;
        if (slot)
            slot->logged_at = now;
    }
    for (const auto &member : lane->members())
        pg::log(LOG, "query " + pg::shown(member->generation.query_name) + " rebuilds generation " +
                         std::to_string(member->generation.number) + ": position " +
                         (member->cursor ? std::to_string(*member->cursor) : "none") + ", " +
                         std::to_string(static_cast<std::int64_t>(member->rate.per_second())) + " events/s");
}

void RebuildWorker::limit_rate()
{
    rate.set(settings::rebuild_rate_limit, GetCurrentTimestamp());
    // A long sleep holds up neither a stop nor a flush, and ends with a change of the limit.
    while (!process.stop_requested() && settings::rebuild_rate_limit == rate.per_second() && !definitions_moved() &&
           !waiting.due())
    {
        const long milliseconds = rate.over_ms(GetCurrentTimestamp());
        if (milliseconds == 0)
            return;
        process.sleep(std::min(milliseconds, longest_sleep_ms));
        if (!flush_due())
            continue;
        flush();
        leave_those_that_stopped();
        if (lane->empty())
            return;
    }
}

} // namespace

void run_rebuild(WorkerProcess &process, uint64 lane)
{
    RebuildWorker(process, lane).run();
}

} // namespace worker
