#include "source/position_floor.hpp"

#include "pg/locks.hpp"
#include "query/catalog.hpp"
#include "query/catalog_rows.hpp"
#include "worker/shared.hpp"

namespace source
{

namespace
{

void raise(worker::SharedPosition &shown, const MaybePosition &position)
{
    if (before(shown.get(), position))
        shown.set(position);
}

// Runs f on the source's slot.
template <class F>
void with_slot(int32 source_id, F &&f)
{
    if (!worker::shared())
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a guarded source needs the library to be preloaded")
            .detail("Those who insert could not be told up to which position events were read.")
            .hint("Add pg_readmodel to shared_preload_libraries and restart the server.");
    bool found = false;
    {
        const worker::SharedLock lock(LW_EXCLUSIVE);
        if (worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id, true))
        {
            found = true;
            f(*slot);
        }
    }
    if (!found)
        throw pg::Error(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "too many sources")
            .detail("A server can follow " + std::to_string(worker::max_sources) + " of them.");
}

void clear(worker::SourceSlot &slot)
{
    slot.passed.set(std::nullopt);
    slot.floor.set(std::nullopt);
    slot.marked.set(std::nullopt);
    slot.marked_before.set(std::nullopt);
    slot.holder_count = 0;
    slot.marking = false;
}

MaybePosition higher(const MaybePosition &a, const MaybePosition &b)
{
    return before(a, b) ? b : a;
}

const worker::LockOwner *find_holder(const worker::SourceSlot &slot, int32 backend, uint32 transaction)
{
    const worker::LockOwner *const end = slot.holders + slot.holder_count;
    const worker::LockOwner *const found =
        std::find_if(slot.holders, end,
                     [&](const worker::LockOwner &holder)
                     { return holder.backend == backend && holder.transaction == transaction; });
    return found == end ? nullptr : found;
}

} // namespace

void announce_mark(int32 source_id, Position high)
{
    with_slot(source_id,
              [&](worker::SourceSlot &slot)
              {
                  slot.marking = true;
                  slot.marked_before = slot.marked;
                  raise(slot.marked, high);
              });
}

void announce_holders(int32 source_id, std::span<const Holder> holders)
{
    with_slot(source_id,
              [&](worker::SourceSlot &slot)
              {
                  std::array<worker::LockOwner, worker::max_shown_holders> shown;
                  const size_t count = std::min(holders.size(), shown.size());
                  for (size_t i = 0; i < count; i++)
                  {
                      shown[i] = {holders[i].backend, holders[i].transaction, slot.marked_before};
                      if (const worker::LockOwner *const before =
                              find_holder(slot, shown[i].backend, shown[i].transaction))
                          shown[i].floor = before->floor;
                  }
                  std::copy_n(shown.begin(), count, slot.holders);
                  slot.holder_count = static_cast<int>(count);
                  slot.marking = false;
              });
}

void raise_floor(int32 source_id, Position high)
{
    with_slot(source_id, [&](worker::SourceSlot &slot) { raise(slot.floor, high); });
}

void announce_passed(int32 source_id, Position settled)
{
    with_slot(source_id, [&](worker::SourceSlot &slot) { raise(slot.passed, settled); });
}

void begin_floor(const EventSource &source)
{
    const MaybePosition stored = stored_floor(source.id);
    const MaybePosition last = pg::sequence_last_drawn(source.sequence);
    with_slot(source.id,
              [&](worker::SourceSlot &slot)
              {
                  // No floor lies above what was drawn. Numbers of sources begin anew with the extension.
                  const MaybePosition known = higher(higher(slot.passed.get(), slot.floor.get()), slot.marked.get());
                  if (before(last, known) || (OidIsValid(slot.events) && slot.events != source.events))
                      clear(slot);
                  raise(slot.passed, stored);
              });
}

void forget_floor(int32 source_id) noexcept
{
    const worker::SharedLock lock(LW_EXCLUSIVE);
    if (worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id))
        clear(*slot);
}

MaybePosition passed_of(int32 source_id) noexcept
{
    if (!worker::shared())
        return std::nullopt;
    const worker::SharedLock lock(LW_SHARED);
    const worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id);
    return slot ? slot->passed.get() : std::nullopt;
}

MaybePosition floor_of(int32 source_id, bool since_earlier) noexcept
{
    if (!worker::shared())
        return std::nullopt;
    const worker::SharedLock lock(LW_SHARED);
    const worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id);
    if (!slot)
        return std::nullopt;
    // While a mark is taken the holders are those of the mark before, and one of them may have lost the lock since: a rollback to a
    // savepoint gives back what ALTER SEQUENCE, unlike nextval(), has taken.
    const worker::LockOwner *const own =
        since_earlier && !slot->marking ? find_holder(*slot, MyProc->backendId, MyProc->lxid) : nullptr;
    return higher(higher(slot->passed.get(), slot->floor.get()), (own ? own->floor : slot->marked).get());
}

MaybePosition stored_floor(int32 source_id)
{
    const query::LatestSnapshot snapshot;
    MaybePosition highest;
    for (const query::catalog::QueryRow &query : query::catalog::all_queries())
    {
        if (query.source_id != source_id)
            continue;
        for (const query::catalog::GenerationRow &generation : query::catalog::generations_of(query.id))
        {
            const std::optional<query::catalog::FailureRow> failure = query::catalog::failure_of(generation.id);
            if (failure && failure->reason == "source_rewound")
                continue; // it has applied numbers that are drawn anew, and has to be rebuilt
            const MaybePosition checkpoint = query::catalog::checkpoint_of(generation.id).position;
            if (before(highest, checkpoint))
                highest = checkpoint;
        }
    }
    return highest;
}

} // namespace source
