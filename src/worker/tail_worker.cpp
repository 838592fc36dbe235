#include "worker/tail_worker.hpp"

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/generation_check.hpp"
#include "query/takeover.hpp"
#include "settings.hpp"
#include "source/source_watch.hpp"
#include "worker/faults.hpp"
#include "worker/publish.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

// While a mark pends the tail looks again after 1 ms, then later and later.
constexpr long first_look_ms = 1;
constexpr long last_look_ms = 50;

// Events that come during a single step are chance; during three in a row they are load.
constexpr int load_after_steps = 3;

// While the tail works off a backlog it writes so often, or so seldom that writing takes a fifth of its time.
constexpr std::int64_t backlog_flush_us = 500'000;
constexpr std::int64_t longest_backlog_flush_us = 5'000'000;
constexpr int backlog_flush_share = 5;

// While there is no source or no query at all.
constexpr long look_for_sources_ms = 2000;

size_t cache_bytes()
{
    return static_cast<size_t>(settings::state_cache) * 1024;
}

} // namespace

TimestampTz in_ms(long milliseconds)
{
    return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

Block block_of(int sqlstate)
{
    switch (sqlstate)
    {
    case ERRCODE_LOCK_NOT_AVAILABLE:
        return Block::lock;
    case ERRCODE_INSUFFICIENT_PRIVILEGE:
        return Block::permission;
    case ERRCODE_UNDEFINED_FUNCTION:
        return Block::definition;
    case ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST:
        return Block::dependents;
    default:
        return query::is_transient(sqlstate) ? Block::transient : Block::source;
    }
}

void TailWorker::run()
{
    Announcements seen = process.announcements();
    reload_wanted = true;
    while (!process.stop_requested())
    {
        look_for_changes();
        const Announcements now = process.announcements();
        if (now.definitions != seen.definitions || source::watched_changed() ||
            (reload_at != 0 && GetCurrentTimestamp() >= reload_at))
            reload_wanted = true;
        seen = now;
        if (reload_wanted)
        {
            probe_before_reload();
            reload();
            if (settle_generations())
                reload();
        }

        Progress progress;
        for (const auto &tail : sources)
        {
            const Progress made = step(*tail);
            progress.more |= made.more;
            if (process.stop_requested())
                break;
        }
        if (progress.more || reload_wanted)
            continue;

        const bool announced = process.announcements().events != seen.events;
        const long milliseconds = pause(announced);
        if (idle())
        {
            // Nobody reads: events need not wake it. Definitions do; one that came during the step may have lost its wake-up.
            if (process.announcements().definitions == seen.definitions)
                process.sleep(milliseconds);
        }
        else if (loaded_steps >= load_after_steps)
            process.sleep(settings::batch_delay); // events come in groups, and the appenders have the processor
        else
            process.wait_for_announcement(seen, milliseconds);
    }
    flush_all();
}

// How long to sleep if nothing is announced. Keeps account of the load.
long TailWorker::pause(bool announced)
{
    loaded_steps = announced ? loaded_steps + 1 : 0;
    long milliseconds = settings::poll_interval;
    for (const auto &tail : sources)
    {
        if (tail->settled.pending() && !(tail->lane.empty() && tail->settled.edge()))
        {
            const int doublings = std::min(tail->waits, 6);
            milliseconds = std::min(milliseconds, std::min(first_look_ms << doublings, last_look_ms));
            tail->waits++;
        }
        else
            tail->waits = 0;
        for (const auto &member : tail->lane.members())
            if (!member->reached)
                milliseconds = std::min(milliseconds, last_look_ms); // a takeover waits for a reader of the view
    }
    for (const TimestampTz due : {reload_at, generations.empty() ? 0 : look_at})
        if (due != 0)
            milliseconds =
                std::min(milliseconds, std::max(1L, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due)));
    return milliseconds;
}

// No generation is tailed here.
bool TailWorker::idle() const
{
    return std::all_of(sources.begin(), sources.end(), [](const auto &tail) { return tail->lane.empty(); });
}

// An event in a dead hole fails the generations that passed it. One that is new now will read it, and is not known here yet.
void TailWorker::probe_before_reload()
{
    for (const auto &tail : sources)
    {
        if (!tail->usable || tail->settled.dead_holes().empty())
            continue;
        tail->probe_at = 0;
        try
        {
            probe_dead_holes(*tail);
        }
        catch (const pg::Failure &)
        {
            // The next probe tells; the reload says what is wrong with the source.
        }
    }
}

void TailWorker::reload()
{
    process.report("loading definitions");
    if (source::watched_changed())
        verified.clear(); // a column may have another type
    source::begin_loading();
    reload_wanted = false;
    reload_at = 0;
    try
    {
        count_attempts();
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::FreshSnapshot snapshot; // for the catalog; what events decide takes its own
            // In this order: a generation that was defined by a changed mapping is not read by the one before.
            generations = query::load_generations();
            std::vector<source::EventSource> loaded = source::load_sources();
            adopt_sources(std::move(loaded));
            forget_slots_of_dropped();
            freeze_changed();
            for (const auto &tail : sources)
            {
                std::vector<query::Generation> wanted;
                for (const query::Generation &generation : generations)
                    if (generation.source_id == tail->config.id)
                        wanted.push_back(generation);
                assign(*tail, wanted);
            }
        }
        transaction.commit();
    }
    catch (const pg::Failure &error)
    {
        pg::log(WARNING, "pg_readmodel could not load its definitions: " + std::string(error.text()));
        reload_at = in_ms(1000);
    }
    // A restore fills the catalog without a word to anybody.
    if ((sources.empty() || generations.empty()) && reload_at == 0)
        reload_at = in_ms(look_for_sources_ms);
    std::erase_if(sources, [](const auto &tail) { return !tail; }); // what an error has left behind
    std::vector<Oid> watched;
    for (const auto &tail : sources)
    {
        watched.insert(watched.end(), tail->tables.begin(), tail->tables.end());
        for (const auto &member : tail->lane.members())
            watched.push_back(member->generation.state_table);
    }
    source::watch(watched);
}

TailWorker::Progress TailWorker::step(TailSource &tail)
{
    if (!tail.usable || GetCurrentTimestamp() < tail.not_before)
        return {};
    try
    {
        Progress progress;
        if (tail.lane.empty())
        {
            // A rebuild lane needs a settled position, not the latest one.
            if (!tail.settled.edge() || GetCurrentTimestamp() >= tail.settle_at)
                settle_only(tail);
        }
        else
            progress = step_lane(tail);
        if (!progress.more || progress.left)
            probe_dead_holes(tail);
        tail.failures = 0;
        return progress;
    }
    catch (const Lane::LostCheckpoint &lost)
    {
        // catch_up or another worker was faster: begin again where it stands now.
        tail.lane.abandon();
        tail.lane.remove(lost.generation_id);
        reload_wanted = true;
    }
    catch (const Lane::SourceChanged &)
    {
        tail.lane.abandon();
        reload_wanted = true;
    }
    catch (const Lane::UpdaterChanged &changed)
    {
        tail.lane.abandon();
        tail.lane.remove(changed.generation_id);
        reload_wanted = true;
    }
    catch (const pg::Failure &error)
    {
        step_failed(tail, error);
    }
    catch (const std::exception &error)
    {
        step_failed(tail, pg::Error(ERRCODE_INTERNAL_ERROR, error.what()));
    }
    return {};
}

void TailWorker::settle_only(TailSource &tail)
{
    tail.settle_at = in_ms(settings::poll_interval);
    bool gone = false;
    {
        pg::Transaction transaction;
        process.enter_transaction();
        gone = rewound(tail);
        if (gone)
            fail_source(tail);
        else
        {
            if (!OidIsValid(tail.config.sequence))
            {
                const pg::FreshSnapshot snapshot;
                const pg::Spi spi;
                if (const MaybePosition head = tail.lane.events().head())
                    tail.witness.seen(*head);
            }
            tail.settled.settle_unread(tail.witness);
        }
        transaction.commit();
    }
    if (gone)
        source_failed(tail);
    publish(tail);
    if (tail.settled.edge())
        ConditionVariableBroadcast(&shared()->progress); // rebuild lanes may wait for it
}

// With more to read at once, states are written as seldom as in a rebuild, but soon enough to be seen: also where each page ends at
// a hole that the next look finds settled. What cannot go on is written at once.
bool TailWorker::flush_due(const TailSource &tail, const Lane::Page &page)
{
    const bool at_end = (page.caught_up || page.read_again) && (page.exhausted || page.events == 0);
    const std::int64_t interval =
        std::clamp(tail.flush_took * backlog_flush_share, backlog_flush_us, longest_backlog_flush_us);
    return at_end || tail.lane.stopped() || GetCurrentTimestamp() - tail.flushed_at > interval ||
           tail.lane.bytes() > cache_bytes();
}

TailWorker::Progress TailWorker::step_lane(TailSource &tail)
{
    process.report("tailing " + tail.config.name);
    Lane::Page page;
    bool flushed = false;
    TimestampTz began_flush = 0;
    const TimestampTz began = GetCurrentTimestamp();
    {
        pg::Transaction transaction;
        process.enter_transaction();
        if (rewound(tail))
        {
            fail_source(tail);
            transaction.commit();
            source_failed(tail);
            return {};
        }
        {
            FAULT_POINT(before_read);
            const pg::Spi spi;
            page = tail.lane.fold_settled(tail.settled, tail.witness, settings::batch_size);
            flushed = flush_due(tail, page);
            if (flushed)
            {
                began_flush = GetCurrentTimestamp();
                tail.lane.flush(false);
            }
        }
        FAULT_POINT(before_commit);
        transaction.commit();
    }
    FAULT_POINT(after_commit);
    if (page.events > 0)
        tail.batches++;
    publish(tail); // what is settled does not depend on what is stored
    if (!flushed)
        return {true};
    tail.lane.committed((page.left || !(page.caught_up && page.exhausted)) && tail.lane.bytes() < cache_bytes());
    tail.flushed_at = GetCurrentTimestamp();
    tail.flush_took = tail.flushed_at - began_flush;
    FAULT_POINT(before_publish);
    after_commit(tail, page.caught_up, page.caught_up && page.exhausted ? began : 0);
    return {page.left || !page.caught_up, page.left};
}

void TailWorker::publish(const TailSource &tail)
{
    worker::publish(
        tail.config, tail.settled,
        {tail.batches, tail.lookups_before + tail.settled.lookups(), tail.read_before + tail.lane.events_read()});
}

// `current_at`: a time whose events are all applied; 0: some that are visible are not settled, or not read.
void TailWorker::after_commit(TailSource &tail, bool caught_up, TimestampTz current_at)
{
    bool stopped = false;
    for (const auto &held : tail.lane.members())
    {
        Member &member = *held;
        if (member.failed)
        {
            count_batches(member);
            reload_wanted = true;
            continue;
        }
        const bool left = member.stop && member.stop->kind == query::FoldStop::Kind::interrupted;
        if (left)
            member.stop.reset(); // it stands where it left the page, which is committed
        if (member.stop)
        {
            count_batches(member);
            const bool locked = member.stop->kind == query::FoldStop::Kind::locked;
            if (!member.stop->cancelled() || tail.set_aside > 0)
                publish_block(member.generation.id, locked ? Block::lock : Block::transient, member.stop->blocker_pid,
                              member.stop->message);
            stopped = true;
            continue;
        }
        if (current_at != 0 && !left)
            member.current_at = current_at;
        const bool at_target =
            (caught_up && !left) || (member.target && member.cursor && *member.cursor >= *member.target);
        if (!member.reached && at_target)
        {
            member.reached = !query::awaits_takeover(member.generation) || take_over(member);
            if (!member.reached && !member.takeover_error.empty())
                continue; // what is in the way is published already
        }
        member.takeover_told &= at_target && !member.reached;
        worker::publish(member, Assignment::tail, !member.takeover_told);
    }
    forget_attempts(tail);
    tail.set_aside = stopped ? tail.set_aside + 1 : 0;
    if (stopped)
        reload_at = in_ms(std::min(shortest_retry_ms << std::min(tail.set_aside, 7), longest_retry_ms));
    // Who failed or is set aside leaves the lane; the next reload brings back whoever may go on.
    std::erase_if(tail.lane.members(), [](const auto &member) { return member->failed || member->stop; });
}

// Before the end: checkpoints that moved over nothing of their query's own are stored too, so that a restart reads little.
void TailWorker::flush_all()
{
    for (const auto &tail : sources)
    {
        if (tail->lane.empty())
            continue;
        try
        {
            pg::Transaction transaction;
            process.enter_transaction();
            {
                const pg::Spi spi;
                tail->lane.flush(true);
            }
            transaction.commit();
        }
        catch (const pg::Failure &)
        {
            return;
        }
        catch (const Lane::LostCheckpoint &)
        {
            return;
        }
        catch (const Lane::UpdaterChanged &)
        {
            return;
        }
        tail->lane.committed(false);
    }
}

void run_tail(WorkerProcess &process)
{
    TailWorker(process).run();
}

} // namespace worker
