#include "source/lock_witness.hpp"

#include "source/position_floor.hpp"
#include "worker/faults.hpp"

namespace source
{

namespace
{

// Without a sequence nobody can be asked who drew a number: whoever writes to the table now gets until his end, and whoever has
// drawn a number and not yet inserted it gets this long. A heuristic, which the user had to spell out.
constexpr std::int64_t gap_timeout_us = 5'000'000;

Holder as_holder(const pg::LockHolder &found)
{
    return Holder{found.vxid.backendId, found.vxid.localTransactionId, 0};
}

} // namespace

pg::LockHolder lock_holder(const Holder &holder)
{
    pg::LockHolder result;
    result.vxid.backendId = holder.backend;
    result.vxid.localTransactionId = holder.transaction;
    return result;
}

Position LockWitness::last_drawn()
{
    const Position high =
        source.settle == Settle::gap_timeout ? highest_seen : pg::sequence_last_drawn(source.sequence);
    FAULT_POINT(within_mark);
    return high;
}

void LockWitness::announce(Position high)
{
    if (source.settle != Settle::guarded)
        return;
    if (observer == Observer::tail)
        announce_mark(source.id, high);
    else
        raise_floor(source.id, high);
}

void LockWitness::announce_passed(const MaybePosition &settled) const
{
    if (source.settle == Settle::guarded && settled)
        source::announce_passed(source.id, *settled);
}

std::vector<Holder> LockWitness::holders()
{
    std::vector<Holder> result;
    // What conflicts with AccessExclusiveLock holds any lock at all; writers of the sequence hold RowExclusiveLock, which is
    // what ShareLock conflicts with. Readers of the sequence (AccessShareLock) are not asked for.
    const bool by_table = source.settle == Settle::gap_timeout;
    if (by_table)
    {
        std::vector<Oid> tables = pg::inheritors(source.events);
        for (const Oid table : tables)
            for (const pg::LockHolder &found : pg::conflicting_holders(table, ShareLock))
                result.push_back(as_holder(found));
        result.push_back(Holder{0, 0, GetCurrentTimestamp() + gap_timeout_us});
    }
    else
        for (const pg::LockHolder &found : pg::conflicting_holders(source.sequence, ShareLock))
            result.push_back(as_holder(found));
    if (source.settle == Settle::guarded && observer == Observer::tail)
        announce_holders(source.id, result);
    FAULT_POINT(within_mark);
    return result;
}

bool LockWitness::ended(const Holder &holder)
{
    FAULT_POINT(before_mark_test);
    if (holder.deadline != 0)
        return GetCurrentTimestamp() >= holder.deadline;
    return pg::has_ended(lock_holder(holder));
}

} // namespace source
