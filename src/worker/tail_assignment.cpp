// Which sources the tail worker has, and which lane each generation belongs to: the tail, or a rebuild lane.

#include "pg/transaction.hpp"
#include "query/generation_check.hpp"
#include "query/splitting.hpp"
#include "query/takeover.hpp"
#include "settings.hpp"
#include "source/position_floor.hpp"
#include "worker/adoption.hpp"
#include "worker/publish.hpp"
#include "worker/tail_worker.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

// A generation that is further behind than this many pages gets a lane of its own: the tail writes states with every batch, a
// rebuild as seldom as it can.
constexpr int pages_behind = 10;

// How long a rebuild that is to be split waits for a recent settled position.
constexpr long split_wait_ms = 10;
constexpr int most_split_waits = 100;

// Into how many shares the rebuild of a generation is to be split.
int shares_of_rebuild(const query::Generation &generation)
{
    if (generation.checkpoint || generation.options.parallel == 1 || settings::max_rebuild_workers < 2)
        return 1;
    if (query::splitting_of(generation.definition, generation.options.skip_errors) != query::Splitting::possible)
        return 1;
    return std::min(generation.options.parallel,
                    settings::max_rebuild_workers); // more would only read the log more often
}

} // namespace

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
            if (generation.source_id == config.id && !generation.failed && source::before(edge, generation.relied_on()))
                edge = generation.relied_on();
        auto tail = std::make_unique<TailSource>(std::move(config),
                                                 same_numbers ? old->settled : source::SettledPosition(edge));
        if (old)
        {
            tail->batches = old->batches;
            tail->read_before = old->read_before + old->lane.events_read();
            tail->lookups_before = old->lookups_before + (same_numbers ? 0 : old->settled.lookups());
        }
        tables_changed = true;
        if (tail->config.settle == source::Settle::guarded && OidIsValid(tail->config.sequence))
            source::begin_floor(tail->config);
        publish(*tail);
        {
            const SharedLock lock(LW_EXCLUSIVE);
            if (SourceSlot *const slot = find_source(MyDatabaseId, tail->config.id, true))
                slot->events = tail->config.events;
        }
        kept.push_back(std::move(tail));
    }
    {
        const SharedLock lock(LW_EXCLUSIVE);
        for (SourceSlot &slot : shared()->sources)
            if (slot.database == MyDatabaseId &&
                std::none_of(kept.begin(), kept.end(),
                             [&](const auto &tail) { return tail->config.id == slot.source_id; }))
                slot.database = InvalidOid;
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
            // What the restore brought last may have come after the generations were loaded.
            reload_wanted |= tail->config.restored;
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
    // over has seen a settled position that may have moved on since; how far the tail itself is behind does not count, since
    // another lane could come no further.
    const int pages = generation.phase == query::Phase::live || handed_over ? pages_behind : 1;
    pg::lock_with_inheritors(tail.config.events, AccessShareLock);
    const pg::FreshSnapshot snapshot;
    const pg::Spi spi;
    return tail.lane.events().more_than(pages * settings::batch_size, generation.checkpoint,
                                        handed_over ? tail.settled.edge() : std::nullopt);
}

// Gives every generation of the source its lane: here, or a rebuild lane.
void TailWorker::assign(TailSource &tail, std::vector<query::Generation> &wanted)
{
    // Who stands still will have to catch up before it can be ready again.
    for (const query::Generation &generation : wanted)
        if (generation.stands_still())
            let_go(generation.id);
    // Whoever failed, was paused, was dropped or is built differently now leaves.
    auto &members = tail.lane.members();
    std::erase_if(members,
                  [&](const auto &member)
                  {
                      const auto now = std::find_if(wanted.begin(), wanted.end(),
                                                    [&](const auto &g) { return g.id == member->generation.id; });
                      return now == wanted.end() || now->stands_still() || now->owner != member->generation.owner ||
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
        member->generation.options = now->options;
        // One that had reached its target may have been made the newest meanwhile.
        member->reached &= !query::awaits_takeover(member->generation);
    }
    if (!tail.usable)
        return;

    uint64 new_lane = 0;
    for (query::Generation &generation : wanted)
    {
        if (generation.stands_still() || tail.lane.find(generation.id))
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
        if (generation.shares.empty() &&
            (assignment == Assignment::rebuild || assignment == Assignment::rebuild_wanted))
            continue;
        if (const std::optional<pg::Error> fault = query::check_generation(generation, tail.config))
        {
            publish_block(generation.id, block_of(fault->sqlstate), 0, fault->message_text);
            reload_at = in_ms(1000);
            continue;
        }
        const MaybePosition relied_on = generation.relied_on();
        if (OidIsValid(tail.config.sequence) && relied_on && pg::sequence_last_drawn(tail.config.sequence) < *relied_on)
        {
            record_rewound(tail, generation);
            continue;
        }
        if (!generation.shares.empty())
        {
            assign_shares(tail, generation);
            continue;
        }
        if (!far_behind(tail, generation, assignment == Assignment::handed_over))
        {
            adopt(tail, std::move(generation));
            continue;
        }
        if (const int shares = shares_of_rebuild(generation); shares > 1)
        {
            split(tail, generation, shares);
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

// The lanes begin with the next reload, which sees that this is committed.
void TailWorker::split(TailSource &tail, const query::Generation &generation, int shares)
{
    // A tail without queries settles seldom. What is drawn now is to be settled first, or little would be split; a writer who stays open
    // is not waited for.
    const MaybePosition edge = tail.settled.edge();
    const bool recent = edge && (!OidIsValid(tail.config.sequence) ||
                                 pg::sequence_last_drawn(tail.config.sequence) - *edge <= settings::batch_size);
    if (!recent && (!edge || tail.split_waits < most_split_waits))
    {
        tail.split_waits++;
        tail.settle_at = 0;
        reload_at = in_ms(split_wait_ms);
        return;
    }
    tail.split_waits = 0;
    const pg::FreshSnapshot snapshot;
    const pg::Spi spi;
    query::split_rebuild(generation.id, shares, *edge);
    reload_wanted = true;
}

// Sees to it that every share that is not finished has a lane.
void TailWorker::assign_shares(const TailSource &tail, const query::Generation &generation)
{
    const SharedLock lock(LW_EXCLUSIVE);
    GenerationSlot *const slot = find_generation(MyDatabaseId, generation.id, true);
    if (!slot || slot->assignment == Assignment::handed_over) // they are done, and this is an older picture
        return;
    bool first = true;
    for (const query::Share &share : generation.shares)
    {
        if (share.finished)
            continue;
        RebuildSlot *rebuild = find_rebuild_of_share(MyDatabaseId, generation.id, share.number);
        if (!rebuild)
        {
            rebuild = make_rebuild(MyDatabaseId, tail.config.id, generation.id, share.number);
            if (!rebuild)
            {
                slot->block = Block::transient;
                reload_at = in_ms(1000);
                return;
            }
            wake_launcher();
        }
        if (std::exchange(first, false))
            slot->lane = rebuild->lane;
    }
    if (slot->assignment != Assignment::rebuild)
    {
        slot->assignment = Assignment::rebuild_wanted;
        slot->reached = false;
        slot->required.set(std::nullopt);
        slot->worker_pid = 0;
        slot->block = Block::none;
    }
}

void TailWorker::adopt(TailSource &tail, query::Generation generation)
{
    Member &member = tail.lane.add(std::move(generation));
    // Accepted first, compared then: what is replaced in between is noticed either here or before the fold.
    member.fold.accept_updater();
    if (!query::definition_unchanged(member.generation))
    {
        verified.erase(member.generation.id);
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
        member.reached = slot->reached && !query::awaits_takeover(member.generation);
    worker::publish(member, Assignment::tail, false);
}

} // namespace worker
