#include "worker/tail_worker.hpp"

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/generation_check.hpp"
#include "settings.hpp"
#include "source/source_watch.hpp"
#include "worker/adoption.hpp"
#include "worker/publish.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

// A generation that is further behind than this many pages gets a lane of its own: the tail writes states with every batch, a
// rebuild as seldom as it can.
constexpr int pages_behind = 10;

// While a mark pends the tail looks again after 1 ms, then later and later.
constexpr long first_look_ms = 1;
constexpr long last_look_ms = 50;

// Events that come during a single step are chance; during three in a row they are load.
constexpr int load_after_steps = 3;

// While the tail works off a backlog.
constexpr std::int64_t backlog_flush_us = 500'000;

constexpr long probe_interval_ms = 5000;

// While there is no source or no query at all.
constexpr long look_for_sources_ms = 2000;

constexpr long shortest_retry_ms = 100;
constexpr long longest_retry_ms = 10'000;

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
    default:
        return query::is_transient(sqlstate) ? Block::transient : Block::source;
    }
}

} // namespace

void TailWorker::run()
{
    Announcements seen = process.announcements();
    reload_wanted = true;
    while (!process.stop_requested())
    {
        const Announcements now = process.announcements();
        if (now.definitions != seen.definitions || source::watched_changed() ||
            (reload_at != 0 && GetCurrentTimestamp() >= reload_at))
            reload_wanted = true;
        seen = now;
        if (reload_wanted)
            reload();

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
    if (reload_at != 0)
        milliseconds =
            std::min(milliseconds, std::max(1L, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), reload_at)));
    return milliseconds;
}

// No generation is tailed here.
bool TailWorker::idle() const
{
    return std::all_of(sources.begin(), sources.end(), [](const auto &tail) { return tail->lane.empty(); });
}

void TailWorker::reload()
{
    process.report("loading definitions");
    source::begin_loading();
    reload_wanted = false;
    reload_at = 0;
    try
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::FreshSnapshot snapshot; // for the catalog; what events decide takes its own
            std::vector<source::EventSource> loaded = source::load_sources();
            generations = query::load_generations();
            adopt_sources(std::move(loaded));
            forget_slots_of_dropped();
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

void TailWorker::adopt_sources(std::vector<source::EventSource> loaded)
{
    std::vector<std::unique_ptr<TailSource>> kept;
    bool tables_changed = loaded.size() != sources.size();
    for (source::EventSource &config : loaded)
    {
        const auto same_id = std::find_if(sources.begin(), sources.end(),
                                          [&](const auto &tail) { return tail && tail->config.id == config.id; });
        std::unique_ptr<TailSource> old = same_id == sources.end() ? nullptr : std::move(*same_id);
        const bool same_numbers = old && old->config.events == config.events &&
                                  old->config.sequence == config.sequence && old->config.settle == config.settle &&
                                  old->config.restored == config.restored;
        if (same_numbers && OidIsValid(config.events) && old->config.owner == config.owner &&
            old->config.search_path == config.search_path && old->page_query == config.page_query())
        {
            kept.push_back(std::move(old));
            continue;
        }
        // A stored checkpoint was settled when it was stored, and what is settled stays so.
        MaybePosition edge;
        for (const query::Generation &generation : generations)
            // One that failed may have been built before the sequence went backwards.
            if (generation.source_id == config.id && !generation.failed && source::before(edge, generation.checkpoint))
                edge = generation.checkpoint;
        auto tail = std::make_unique<TailSource>(std::move(config),
                                                 same_numbers ? old->settled : source::SettledPosition(edge));
        if (old)
        {
            tail->batches = old->batches;
            tail->read_before = old->read_before + old->lane.events_read();
            tail->lookups_before = old->lookups_before + (same_numbers ? 0 : old->settled.lookups());
        }
        tables_changed = true;
        publish(*tail);
        {
            const SharedLock lock(LW_EXCLUSIVE);
            if (SourceSlot *const slot = find_source(MyDatabaseId, tail->config.id, true))
                slot->events = tail->config.events;
        }
        kept.push_back(std::move(tail));
    }
    for (const auto &gone : sources)
        if (gone && std::none_of(kept.begin(), kept.end(),
                                 [&](const auto &tail) { return tail->config.id == gone->config.id; }))
        {
            const SharedLock lock(LW_EXCLUSIVE);
            if (SourceSlot *const slot = find_source(MyDatabaseId, gone->config.id))
                slot->database = InvalidOid;
        }
    sources = std::move(kept);
    if (tables_changed)
        announce_event_tables();
    for (const auto &tail : sources)
    {
        const std::optional<pg::Error> fault =
            tail->config.restored ? adopt_restored(tail->config, generations) : source::check_source(tail->config);
        tail->usable = !fault;
        tail->tables = {tail->config.events};
        if (!fault)
            tail->tables = pg::inheritors(tail->config.events);
        if (!fault)
        {
            tail->config.restored = false;
            continue;
        }
        const Block block = tail->config.restored ? Block::restoring : block_of(fault->sqlstate);
        for (const query::Generation &generation : generations)
            if (generation.source_id == tail->config.id)
                publish_block(generation.id, block, 0, fault->message_text);
        for (auto &member : tail->lane.members())
            member->fold.forget();
        tail->lane.members().clear();
        reload_at = in_ms(1000);
    }
}

void TailWorker::forget_slots_of_dropped()
{
    const SharedLock lock(LW_EXCLUSIVE);
    for (GenerationSlot &slot : shared()->generations)
        if (slot.database == MyDatabaseId &&
            std::none_of(generations.begin(), generations.end(),
                         [&](const query::Generation &generation) { return generation.id == slot.generation_id; }))
            slot.database = InvalidOid;
    forget_unused_rebuilds(MyDatabaseId);
}

bool TailWorker::far_behind(TailSource &tail, const query::Generation &generation, bool handed_over)
{
    // The first page of a small log is the tail's to fold, so that a new query on it needs no other worker. A lane that hands
    // over has seen a settled position that may have moved on since.
    const int pages = generation.phase == query::Phase::live || handed_over ? pages_behind : 1;
    pg::lock_with_inheritors(tail.config.events, AccessShareLock);
    const pg::FreshSnapshot snapshot;
    const pg::Spi spi;
    return tail.lane.events().more_than(pages * settings::batch_size, generation.checkpoint, std::nullopt);
}

// Gives every generation of the source its lane: here, or a rebuild lane.
void TailWorker::assign(TailSource &tail, std::vector<query::Generation> &wanted)
{
    // Whoever failed, was dropped or is built differently now leaves.
    auto &members = tail.lane.members();
    std::erase_if(members,
                  [&](const auto &member)
                  {
                      const auto now = std::find_if(wanted.begin(), wanted.end(),
                                                    [&](const auto &g) { return g.id == member->generation.id; });
                      return now == wanted.end() || now->failed || now->owner != member->generation.owner ||
                             now->state_table != member->generation.state_table ||
                             now->definition.updater_oid != member->generation.definition.updater_oid || member->stop ||
                             query::check_generation(*now, tail.config);
                  });
    // The rest stays, with what can change about it: its view may have been made anew, or taken over in a session.
    for (const auto &member : members)
    {
        const auto now =
            std::find_if(wanted.begin(), wanted.end(), [&](const auto &g) { return g.id == member->generation.id; });
        member->generation.query_name = now->query_name;
        member->generation.view = now->view;
        member->generation.newest = now->newest;
        member->generation.serving = now->serving;
        member->generation.phase = now->phase;
    }
    if (!tail.usable)
        return;

    uint64 new_lane = 0;
    for (query::Generation &generation : wanted)
    {
        if (generation.failed || tail.lane.find(generation.id))
            continue;
        Assignment assignment = Assignment::none;
        {
            const SharedLock lock(LW_SHARED);
            if (const GenerationSlot *const slot = find_generation(MyDatabaseId, generation.id))
            {
                assignment = slot->assignment;
                if ((assignment == Assignment::rebuild || assignment == Assignment::rebuild_wanted) &&
                    !find_rebuild(slot->lane))
                    assignment = Assignment::none; // the lane ended without it
            }
        }
        if (assignment == Assignment::rebuild || assignment == Assignment::rebuild_wanted)
            continue;
        if (const std::optional<pg::Error> fault = query::check_generation(generation, tail.config))
        {
            publish_block(generation.id, block_of(fault->sqlstate), 0, fault->message_text);
            reload_at = in_ms(1000);
            continue;
        }
        if (OidIsValid(tail.config.sequence) && generation.checkpoint &&
            pg::sequence_last_drawn(tail.config.sequence) < *generation.checkpoint)
        {
            record_rewound(tail, generation);
            continue;
        }
        if (!query::definition_unchanged(generation))
        {
            query::record_failure(
                generation.id, "definition_changed", std::nullopt, "",
                "the updater was changed after this generation was defined; readmodel.define_query() starts a new one");
            continue;
        }
        if (!far_behind(tail, generation, assignment == Assignment::handed_over))
        {
            adopt(tail, std::move(generation));
            continue;
        }
        // New generations that start together share one lane, one pass over the log.
        const SharedLock lock(LW_EXCLUSIVE);
        GenerationSlot *const slot = find_generation(MyDatabaseId, generation.id, true);
        if (!slot)
            continue;
        if (new_lane == 0)
            if (RebuildSlot *const rebuild = make_rebuild(MyDatabaseId, tail.config.id))
                new_lane = rebuild->lane;
        if (new_lane == 0)
        {
            slot->block = Block::transient;
            reload_at = in_ms(1000);
            continue;
        }
        slot->assignment = Assignment::rebuild_wanted;
        slot->reached = false; // whatever it was before: it is far behind now
        slot->required.set(std::nullopt);
        slot->lane = new_lane;
        slot->worker_pid = 0;
        slot->block = Block::none;
    }
    if (new_lane != 0)
    {
        tail.settle_at = 0; // the lane is to see how far it may go
        wake_launcher();
    }
}

void TailWorker::adopt(TailSource &tail, query::Generation generation)
{
    Member &member = tail.lane.add(std::move(generation));
    // Accepted first, compared then: what is replaced in between is noticed either here or before the fold.
    member.fold.accept_updater();
    if (!query::definition_unchanged(member.generation))
    {
        tail.lane.remove(member.generation.id);
        reload_wanted = true;
        return;
    }
    if (member.generation.phase == query::Phase::rebuilding)
        query::record_start(member.generation.id);
    // What is settled now lies at or below the last number drawn: once past that, it is caught up, however busy the log is.
    if (OidIsValid(tail.config.sequence))
        member.target = pg::sequence_last_drawn(tail.config.sequence);
    if (const std::optional<GenerationSlot> slot = generation_snapshot(member.generation.id))
        member.reached = slot->reached && member.generation.phase == query::Phase::live;
    worker::publish(member, Assignment::tail, false);
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
        if (!progress.more)
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

TailWorker::Progress TailWorker::step_lane(TailSource &tail)
{
    process.report("tailing " + tail.config.name);
    Lane::Page page;
    bool flushed = false;
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
            const pg::Spi spi;
            page = tail.lane.fold_settled(tail.settled, tail.witness, settings::batch_size);
            // With more to read at once, states are written as seldom as in a rebuild, but soon enough to be seen.
            flushed = page.caught_up || tail.lane.stopped() ||
                      GetCurrentTimestamp() - tail.flushed_at > backlog_flush_us ||
                      tail.lane.bytes() > static_cast<size_t>(settings::state_cache) * 1024;
            if (flushed)
                tail.lane.flush(false);
        }
        transaction.commit();
    }
    if (page.events > 0)
        tail.batches++;
    publish(tail); // what is settled does not depend on what is stored
    if (!flushed)
        return {true};
    tail.lane.committed(!page.caught_up && tail.lane.bytes() < static_cast<size_t>(settings::state_cache) * 1024);
    tail.flushed_at = GetCurrentTimestamp();
    after_commit(tail, page.caught_up);
    return {!page.caught_up};
}

void TailWorker::publish(const TailSource &tail)
{
    worker::publish(
        tail.config, tail.settled,
        {tail.batches, tail.lookups_before + tail.settled.lookups(), tail.read_before + tail.lane.events_read()});
}

// The sequence decides, not max(position): retention may delete events. It went back if its last number is below one that was
// seen, or if both it and the table got new files, as TRUNCATE .. RESTART IDENTITY does, however many numbers were drawn since.
bool TailWorker::rewound(TailSource &tail)
{
    if (!OidIsValid(tail.config.sequence))
        return false;
    const Position last = pg::sequence_last_drawn(tail.config.sequence);
    const Oid sequence_file = pg::file_of(tail.config.sequence);
    std::uint64_t table_files = 0;
    for (const Oid table : tail.tables)
        table_files = table_files * 31 + pg::file_of(table);

    MaybePosition highest = tail.highest_drawn;
    if (source::before(highest, tail.settled.edge()))
        highest = tail.settled.edge();
    if (tail.settled.pending() && source::before(highest, tail.settled.pending()->high))
        highest = tail.settled.pending()->high;
    const bool new_files = tail.highest_drawn && sequence_file != tail.sequence_file && table_files != tail.table_files;
    tail.sequence_file = sequence_file;
    tail.table_files = table_files;
    tail.highest_drawn = last;
    return new_files || (highest && last < *highest);
}

void TailWorker::record_rewound(const TailSource &tail, const query::Generation &generation)
{
    query::record_failure(generation.id, "source_rewound", generation.checkpoint, "",
                          "the sequence of source " + pg::shown(tail.config.name) +
                              " went back before a position that was applied");
}

// Whoever has applied something of the old numbers fails; who has not begins with the new ones.
void TailWorker::fail_source(TailSource &tail)
{
    pg::log(WARNING, "the sequence of source " + pg::shown(tail.config.name) + " went backwards",
            "Positions that were applied will be drawn again.",
            "Rebuild the queries of the source, once its events and its sequence are as they should be.");
    const pg::FreshSnapshot snapshot;
    for (const query::Generation &generation : query::load_generations())
    {
        if (generation.source_id != tail.config.id || generation.failed)
            continue;
        const std::optional<GenerationSlot> slot = generation_snapshot(generation.id);
        const bool rebuilding =
            slot && (slot->assignment == Assignment::rebuild || slot->assignment == Assignment::rebuild_wanted);
        if (generation.checkpoint || rebuilding)
            record_rewound(tail, generation);
    }
}

// The transaction of fail_source() has committed.
void TailWorker::source_failed(TailSource &tail)
{
    tail.lane.abandon();
    tail.settled = source::SettledPosition();
    publish(tail);
    announce_now(); // rebuild lanes must stop too
    reload_wanted = true;
}

// The net under the contract: an event in a hole that was declared dead was applied by nobody.
void TailWorker::probe_dead_holes(TailSource &tail)
{
    if (tail.settled.dead_holes().empty() || GetCurrentTimestamp() < tail.probe_at)
        return;
    tail.probe_at = in_ms(probe_interval_ms);
    pg::Transaction transaction;
    process.enter_transaction();
    pg::lock_with_inheritors(tail.config.events, AccessShareLock);
    MaybePosition late;
    {
        const pg::FreshSnapshot snapshot;
        const pg::Spi spi;
        late = tail.lane.events().first_in(tail.settled.dead_holes());
        if (late)
            for (const query::Generation &generation : generations)
                if (generation.source_id == tail.config.id && !generation.failed)
                    query::record_failure(generation.id, "late_event", late, "",
                                          "an event appeared at position " + std::to_string(*late) +
                                              ", which had been passed over");
    }
    transaction.commit();
    if (!late)
        return;
    pg::log(WARNING,
            "an event of source " + pg::shown(tail.config.name) + " appeared at position " + std::to_string(*late) +
                ", which had been passed over",
            "Its position was not drawn in the transaction that inserted it.",
            "Rebuild the queries of the source, and see that positions are drawn by the inserts themselves.");
    tail.settled.forget_hole_of(*late);
    announce_now(); // rebuild lanes must stop too
    reload_wanted = true;
}

void TailWorker::after_commit(TailSource &tail, bool caught_up)
{
    bool stopped = false;
    for (const auto &held : tail.lane.members())
    {
        Member &member = *held;
        if (member.failed)
        {
            reload_wanted = true;
            continue;
        }
        const bool left = member.stop && member.stop->kind == query::FoldStop::Kind::interrupted;
        if (left)
            member.stop.reset(); // it stands where it left the page, which is committed
        if (member.stop)
        {
            const bool locked = member.stop->kind == query::FoldStop::Kind::locked;
            publish_block(member.generation.id, locked ? Block::lock : Block::transient, member.stop->blocker_pid,
                          member.stop->message);
            stopped = true;
            continue;
        }
        const bool at_target =
            (caught_up && !left) || (member.target && member.cursor && *member.cursor >= *member.target);
        if (!member.reached && at_target)
        {
            member.reached = member.generation.phase == query::Phase::live || take_over(member);
            if (!member.reached && !member.takeover_error.empty())
                continue; // what is in the way is published already
        }
        worker::publish(member, Assignment::tail);
    }
    tail.set_aside = stopped ? tail.set_aside + 1 : 0;
    if (stopped)
        reload_at = in_ms(std::min(shortest_retry_ms << std::min(tail.set_aside, 7), longest_retry_ms));
    // Who failed or is set aside leaves the lane; the next reload brings back whoever may go on.
    std::erase_if(tail.lane.members(), [](const auto &member) { return member->failed || member->stop; });
}

// The next look tries again. A reader of the view or a define_query in progress is ordinary; else what the takeover depends on was
// changed or dropped.
bool TailWorker::take_over_failed(Member &member, const pg::Failure &error)
{
    if (query::is_transient(error.code()))
    {
        member.takeover_error.clear();
        return false;
    }
    if (member.takeover_error != error.text())
        pg::log(WARNING,
                "query " + pg::shown(member.generation.query_name) + " could not take over generation " +
                    std::to_string(member.generation.number) + ": " + std::string(error.text()),
                "SQLSTATE " + error.code_text() + ". It is tried again.");
    member.takeover_error = error.text();
    publish_block(member.generation.id, block_of(error.code()), 0, error.text());
    if (reload_at == 0) // each look comes here: do not put it off
        reload_at = in_ms(1000);
    return false;
}

// False: a reader of the view is in the way; try again soon.
bool TailWorker::take_over(Member &member)
{
    try
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::FreshSnapshot snapshot;
            query::take_over(member.generation);
        }
        transaction.commit();
    }
    catch (const pg::Failure &error)
    {
        return take_over_failed(member, error);
    }
    member.takeover_error.clear();
    member.generation.phase = query::Phase::live;
    pg::log(LOG, "query " + pg::shown(member.generation.query_name) + " is ready, generation " +
                     std::to_string(member.generation.number));
    return true;
}

void TailWorker::step_failed(TailSource &tail, const pg::Failure &error)
{
    tail.lane.abandon();
    const Block block = block_of(error.code());
    int blocker = 0;
    if (block == Block::lock)
    {
        pg::Transaction transaction;
        blocker = pg::blocker_of(tail.config.events, AccessShareLock);
        transaction.commit();
    }
    const std::string note = tail.lane.note_of(error);
    for (const auto &member : tail.lane.members())
        publish_block(member->generation.id, block, blocker, note);
    if (tail.failures == 0)
        // The text of an error in the data can quote the data, which has no place in the log.
        pg::log(
            WARNING,
            "the tail of source " + pg::shown(tail.config.name) + " could not go on" +
                (ERRCODE_TO_CATEGORY(error.code()) == ERRCODE_DATA_EXCEPTION ? "" : ": " + std::string(error.text())),
            "SQLSTATE " + error.code_text() + ". It is tried again; readmodel.status() shows the reason.");
    const long delay = std::min(shortest_retry_ms << std::min(tail.failures, 10), longest_retry_ms);
    tail.failures++;
    tail.not_before = in_ms(delay);
    reload_at = in_ms(delay); // names may have changed
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
