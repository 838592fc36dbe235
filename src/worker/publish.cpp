#include "worker/publish.hpp"

namespace worker
{

namespace
{

void copy_note(char (&target)[160], std::string_view note)
{
    const size_t length = note.size() < sizeof target
                              ? note.size()
                              : static_cast<size_t>(pg_mbcliplen(note.data(), static_cast<int>(note.size()),
                                                                 static_cast<int>(sizeof target) - 1));
    std::memcpy(target, note.data(), length);
    target[length] = '\0';
}

constexpr std::int64_t worth_a_look_us = 200'000;

} // namespace

void count_batches(Member &member)
{
    if (member.batches == 0)
        return;
    const SharedLock lock(LW_EXCLUSIVE);
    if (GenerationSlot *const slot = find_generation(MyDatabaseId, member.generation.id, true))
        slot->batches += std::exchange(member.batches, 0);
}

void publish(Member &member, Assignment assignment, bool moved)
{
    {
        const SharedLock lock(LW_EXCLUSIVE);
        GenerationSlot *const slot = find_generation(MyDatabaseId, member.generation.id, true);
        if (!slot)
            return;
        slot->batches += std::exchange(member.batches, 0);
        // The other shares of the rebuild may be done meanwhile, and the tail may have it.
        if (member.share && slot->assignment != Assignment::rebuild && slot->assignment != Assignment::rebuild_wanted)
            return;
        slot->worker_pid = MyProcPid;
        slot->assignment = assignment;
        // How far the shares of a rebuild are, the catalog says: where the last of them is.
        if (!member.share)
            slot->advances.record(member.stored, member.unflushed_events > 0 ? member.stored : member.cursor);
        if (member.current_at != 0)
            slot->current_at = member.current_at;
        slot->events_applied = member.applied;
        slot->events_per_second = member.rate.per_second();
        if (member.reached && !slot->reached)
        {
            slot->reached = true;
            slot->required.set(member.stored);
        }
        if (moved)
        {
            slot->block = Block::none;
            slot->blocker_pid = 0;
            slot->note[0] = '\0';
        }
    }
    ConditionVariableBroadcast(&shared()->progress);
}

void publish_block(int32 generation_id, Block block, int blocker_pid, std::string_view note)
{
    const SharedLock lock(LW_EXCLUSIVE);
    GenerationSlot *const slot = find_generation(MyDatabaseId, generation_id, true);
    if (!slot)
        return;
    slot->block = block;
    slot->blocker_pid = blocker_pid;
    copy_note(slot->note, note);
}

std::vector<int32> assigned_to(uint64 lane, int32 split_generation)
{
    std::vector<int32> ids;
    const SharedLock lock(LW_SHARED);
    for (const GenerationSlot &slot : shared()->generations)
        if (slot.database == MyDatabaseId &&
            (split_generation != 0 ? slot.generation_id == split_generation : slot.lane == lane) &&
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

void let_go(int32 generation_id)
{
    const SharedLock lock(LW_EXCLUSIVE);
    GenerationSlot *const slot = find_generation(MyDatabaseId, generation_id);
    if (!slot)
        return;
    slot->worker_pid = 0;
    slot->assignment = Assignment::none;
    slot->reached = false;
    slot->required.set(std::nullopt);
    slot->block = Block::none;
    slot->blocker_pid = 0;
    slot->note[0] = '\0';
}

void publish(const source::EventSource &source, const source::SettledPosition &settled, const SourceReport &report)
{
    // Who holds a mark up is looked up before the lock is taken.
    int pids[max_shown_blockers] = {};
    int blockers = 0;
    TimestampTz oldest = 0;
    const std::optional<SourceSlot> before = source_snapshot(source.id);
    const std::int64_t pending_for = before && before->pending ? GetCurrentTimestamp() - before->pending_since : 0;
    if (const source::SettledPosition::Mark *const mark = settled.pending())
        for (const source::Holder &holder : mark->holders)
        {
            if (holder.deadline != 0)
                continue;
            const int pid = pg::process_of(source::lock_holder(holder));
            if (blockers < max_shown_blockers)
                pids[blockers] = pid;
            blockers++;
            // Most marks pend for a moment; only one that stays is worth the look.
            if (pid != 0 && pending_for > worth_a_look_us)
                if (const TimestampTz started = pg::transaction_start_of(pid); started != 0)
                    oldest = oldest == 0 ? started : std::min(oldest, started);
        }

    const SharedLock lock(LW_EXCLUSIVE);
    SourceSlot *const slot = find_source(MyDatabaseId, source.id, true);
    if (!slot)
        return;
    slot->settled.set(settled.edge());
    if (source::before(slot->passed.get(), settled.edge()))
        slot->passed.set(settled.edge());
    const bool was_pending = slot->pending;
    slot->pending = settled.pending() != nullptr;
    if (slot->pending)
    {
        // Under load a mark follows upon the other with never a moment without: each hole begins anew.
        const int64 hole = settled.pending()->hole.value_or(PG_INT64_MIN);
        if (!was_pending || slot->pending_hole != hole)
            slot->pending_since = GetCurrentTimestamp();
        slot->pending_hole = hole;
        slot->blocked_start = oldest != 0 ? oldest : slot->pending_since;
    }
    slot->blockers = blockers;
    std::copy(std::begin(pids), std::end(pids), slot->blocked_by);
    slot->batches = report.batches;
    slot->lock_lookups = report.lookups;
    slot->events_read = report.events_read;
}

} // namespace worker
