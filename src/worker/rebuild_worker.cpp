// A rebuild worker: one pass over the log for the generations of one rebuild lane, then it hands them to the tail.
//
//     take the generations that are assigned to the lane
//     repeat   read and fold a page up to the published settled position        (short transactions without an xid)
//              now and then: flush states and checkpoints                       (one transaction)
//     until less than a page remains; flush; hand over
//
// A crash goes on from the last flush: the lane's slot stays, and the launcher starts another worker for it.

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/generation_check.hpp"
#include "settings.hpp"
#include "source/source_watch.hpp"
#include "worker/publish.hpp"
#include "worker/wakeup.hpp"
#include "worker/worker_process.hpp"

namespace worker
{

namespace
{

constexpr long retry_ms = 500;
constexpr int most_retries = 5; // then the launcher takes over, with its backoff
constexpr std::int64_t progress_line_us = 10'000'000;

class RebuildWorker
{
public:
    RebuildWorker(WorkerProcess &worker_process, uint64 lane_number) : process(worker_process), number(lane_number) {}

    void run();

private:
    bool load();
    void work();
    bool fold_page(const MaybePosition &settled);
    void flush();
    bool flush_due() const;
    void leave_those_that_stopped();
    void hand_over();
    void end_lane();
    void log_progress();
    void limit_rate(std::int64_t events);

    WorkerProcess &process;
    uint64 number;
    std::optional<source::EventSource> config;
    std::unique_ptr<Lane> lane;
    TimestampTz flushed_at = 0;
    TimestampTz logged_at = 0;
    TimestampTz rate_since = 0;
    std::int64_t rate_events = 0;
    uint64 definitions_seen = 0;
    int failures = 0;
};

// The generations that are assigned to the lane now.
std::vector<int32> assigned(uint64 number)
{
    std::vector<int32> ids;
    const SharedLock lock(LW_SHARED);
    for (const GenerationSlot &slot : shared()->generations)
        if (slot.database == MyDatabaseId && slot.lane == number &&
            (slot.assignment == Assignment::rebuild_wanted || slot.assignment == Assignment::rebuild))
            ids.push_back(slot.generation_id);
    return ids;
}

void assign(int32 generation_id, Assignment assignment)
{
    const SharedLock lock(LW_EXCLUSIVE);
    if (GenerationSlot *const slot = find_generation(MyDatabaseId, generation_id))
    {
        slot->assignment = assignment;
        slot->worker_pid = 0;
    }
}

// Loads the lane's generations as the catalog has them. False: none is left.
bool RebuildWorker::load()
{
    source::begin_loading();
    definitions_seen = process.announcements().definitions;
    lane.reset();
    pg::Transaction transaction;
    process.enter_transaction();
    auto snapshot = std::make_unique<pg::FreshSnapshot>();
    bool left_some = false;
    const std::vector<int32> ids = assigned(number);
    const std::vector<query::Generation> all = query::load_generations();
    std::vector<source::EventSource> sources = source::load_sources();
    for (const int32 id : ids)
    {
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const query::Generation &g) { return g.id == id && !g.failed; });
        if (found == all.end())
        {
            assign(id, Assignment::none);
            continue;
        }
        if (!lane)
        {
            const auto source = std::find_if(sources.begin(), sources.end(),
                                             [&](const source::EventSource &s) { return s.id == found->source_id; });
            if (source == sources.end() || source::check_source(*source))
                break;
            config = *source;
            lane = std::make_unique<Lane>(*config);
        }
        // What is not as it should be is the tail's to report: it looks at every generation that has no lane.
        const auto leave = [&]
        {
            lane->remove(id);
            assign(id, Assignment::none);
            left_some = true;
        };
        if (query::check_generation(*found, *config))
        {
            leave();
            continue;
        }
        // The updater is accepted first and compared then: what is replaced in between is noticed here or before the fold.
        Member &member = lane->add(*found);
        member.fold.accept_updater();
        if (!query::definition_unchanged(*found))
        {
            leave();
            continue;
        }
        query::record_start(id);
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
    while (!process.stop_requested())
    {
        try
        {
            if (!load())
            {
                end_lane();
                return;
            }
            flushed_at = logged_at = rate_since = GetCurrentTimestamp();
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
            if (lane)
                for (const auto &member : lane->members())
                    publish_block(member->generation.id,
                                  error.code() == ERRCODE_LOCK_NOT_AVAILABLE ? Block::lock : Block::transient, 0,
                                  error.text());
            if (++failures > most_retries)
                throw;
            pg::log(WARNING, "a rebuild could not go on: " + std::string(error.text()),
                    "SQLSTATE " + error.code_text() + ". It is tried again.");
            process.sleep(retry_ms * failures);
        }
    }
}

// Until nothing is left to do, the definitions change, or the worker is to stop.
void RebuildWorker::work()
{
    process.report("rebuilding from " + config->name);
    while (!process.stop_requested())
    {
        if (process.announcements().definitions != definitions_seen || source::watched_changed())
        {
            flush();
            return; // dropped, paused, failed by an operator: look again
        }
        const std::optional<SourceSlot> slot = source_snapshot(config->id);
        const MaybePosition settled = slot ? slot->settled.get() : std::nullopt;
        if (!settled)
        {
            wake_tail();
            process.sleep(10); // the tail has not settled anything yet
            continue;
        }
        const bool done = fold_page(settled);
        if (done || flush_due())
            flush();
        leave_those_that_stopped();
        if (lane->empty())
            return;
        if (done)
        {
            hand_over();
            return;
        }
        log_progress();
    }
    flush();
}

// True if less than a page was left.
bool RebuildWorker::fold_page(const MaybePosition &settled)
{
    Lane::Page page;
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::Spi spi;
            page = lane->fold_up_to(settled, settings::batch_size);
        }
        transaction.commit();
    }
    limit_rate(static_cast<std::int64_t>(page.events));
    return page.caught_up;
}

bool RebuildWorker::flush_due() const
{
    return TimestampDifferenceExceeds(flushed_at, GetCurrentTimestamp(), settings::flush_interval) ||
           lane->bytes() > static_cast<size_t>(settings::state_cache) * 1024 ||
           lane->stopped();
}

void RebuildWorker::flush()
{
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::Spi spi;
            lane->flush(true);
        }
        transaction.commit();
    }
    lane->committed(lane->bytes() < static_cast<size_t>(settings::state_cache) * 1024);
    flushed_at = GetCurrentTimestamp();
    for (const auto &member : lane->members())
        if (!member->failed)
            publish(*member, Assignment::rebuild);
}

// A failed one is recorded, one that is to be tried again goes back to the tail's list.
void RebuildWorker::leave_those_that_stopped()
{
    bool any = false;
    for (const auto &member : lane->members())
        if (member->stop && member->stop->kind == query::FoldStop::Kind::interrupted)
            member->stop.reset(); // it stands where it left the page, which is flushed
        else if (member->stop)
        {
            assign(member->generation.id, Assignment::none);
            any = true;
        }
    if (!any)
        return;
    std::erase_if(lane->members(), [](const auto &member) { return !!member->stop; });
    announce_now();
}

void RebuildWorker::hand_over()
{
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
    }
    announce_now();
}

void RebuildWorker::log_progress()
{
    const TimestampTz now = GetCurrentTimestamp();
    if (!settings::log_progress || now - logged_at < progress_line_us)
        return;
    logged_at = now;
    for (const auto &member : lane->members())
        pg::log(LOG, "query " + pg::shown(member->generation.query_name) + " rebuilds generation " +
                         std::to_string(member->generation.number) + ": position " +
                         (member->cursor ? std::to_string(*member->cursor) : "none") + ", " +
                         std::to_string(static_cast<std::int64_t>(member->rate.per_second())) + " events/s");
}

void RebuildWorker::limit_rate(std::int64_t events)
{
    if (settings::rebuild_rate_limit == 0)
        return;
    rate_events += events;
    const std::int64_t due_us = rate_events * 1'000'000 / settings::rebuild_rate_limit;
    const std::int64_t passed_us = GetCurrentTimestamp() - rate_since;
    if (due_us > passed_us)
        process.sleep(static_cast<long>((due_us - passed_us) / 1000));
}

} // namespace

void run_rebuild(WorkerProcess &process, uint64 lane)
{
    RebuildWorker(process, lane).run();
}

} // namespace worker
