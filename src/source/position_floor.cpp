#include "source/position_floor.hpp"

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
    const worker::SharedLock lock(LW_EXCLUSIVE);
    worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id, true);
    if (!slot)
        throw pg::Error(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "too many sources")
            .detail("A server can follow " + std::to_string(worker::max_sources) + " of them.");
    f(*slot);
}

} // namespace

void announce_mark(int32 source_id, Position high, const MaybePosition &settled)
{
    with_slot(source_id,
              [&](worker::SourceSlot &slot)
              {
                  // A mark that was proved meanwhile does not wait for anybody any more.
                  raise(slot.floor, settled);
                  raise(slot.marked, high);
              });
}

void announce_holders(int32 source_id, std::span<const Holder> holders)
{
    with_slot(source_id,
              [&](worker::SourceSlot &slot)
              {
                  const size_t count = std::min(holders.size(), std::size(slot.holders));
                  for (size_t i = 0; i < count; i++)
                      slot.holders[i] = {holders[i].backend, holders[i].transaction};
                  slot.holder_count = static_cast<int>(count);
              });
}

void raise_floor(int32 source_id, Position position)
{
    with_slot(source_id, [&](worker::SourceSlot &slot) { raise(slot.floor, position); });
}

void forget_floor(int32 source_id) noexcept
{
    const worker::SharedLock lock(LW_EXCLUSIVE);
    worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id);
    if (!slot)
        return;
    slot->floor.set(std::nullopt);
    slot->marked.set(std::nullopt);
    slot->holder_count = 0;
}

MaybePosition floor_of(int32 source_id, bool since_earlier) noexcept
{
    if (!worker::shared())
        return std::nullopt;
    const worker::SharedLock lock(LW_SHARED);
    const worker::SourceSlot *const slot = worker::find_source(MyDatabaseId, source_id);
    if (!slot)
        return std::nullopt;
    MaybePosition floor = slot->floor.get();
    const auto is_own = [](const worker::LockOwner &holder)
    { return holder.backend == MyProc->backendId && holder.transaction == MyProc->lxid; };
    const worker::LockOwner *const end = slot->holders + slot->holder_count;
    const bool waited_for = since_earlier && std::find_if(slot->holders, end, is_own) != end;
    if (!waited_for && before(floor, slot->marked.get()))
        floor = slot->marked.get();
    return floor;
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
