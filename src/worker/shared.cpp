#include "worker/shared.hpp"

#include "worker/in_hand.hpp"

namespace worker
{

namespace
{

Shared *segment = nullptr;
shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

constexpr const char *name = "pg_readmodel";

void request()
{
    if (previous_request_hook)
        previous_request_hook();
    RequestAddinShmemSpace(sizeof(Shared));
    RequestNamedLWLockTranche(name, 1);
}

void startup()
{
    if (previous_startup_hook)
        previous_startup_hook();
    bool found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    segment = static_cast<Shared *>(ShmemInitStruct(name, sizeof(Shared), &found));
    if (!found)
    {
        std::memset(static_cast<void *>(segment), 0, sizeof(Shared));
        segment->lock = &GetNamedLWLockTranche(name)->lock;
        pg_atomic_init_u64(&segment->registrations, 1);
        pg_atomic_init_u32(&segment->prepared_changes, 1); // unknown: prepared transactions outlive the server
        ConditionVariableInit(&segment->progress);
        for (DatabaseSlot &slot : segment->databases)
        {
            pg_atomic_init_u64(&slot.announced, 0);
            pg_atomic_init_u64(&slot.definitions, 0);
            pg_atomic_init_u32(&slot.waiting, 0);
        }
    }
    LWLockRelease(AddinShmemInitLock);
    make_notes();
}

// Atomics stay as they are: a reader may hold a pointer to the slot, and they only ever count up.
void clear(DatabaseSlot &slot)
{
    slot.database = InvalidOid;
    slot.incarnation++;
    slot.pid = 0;
    slot.latch = nullptr;
    slot.serving = slot.absent = slot.no_slot = slot.probe_wanted = slot.version_mismatch = false;
    slot.failures = 0;
    slot.next_start = 0;
}

template <class Slot, size_t count, class Match>
Slot *find(Slot (&slots)[count], Match &&match, bool create)
{
    Slot *unused = nullptr;
    for (Slot &slot : slots)
    {
        if (slot.database == InvalidOid)
        {
            if (!unused)
                unused = &slot;
            if (!create)
                continue;
        }
        else if (match(slot))
            return &slot;
    }
    return create ? unused : nullptr;
}

} // namespace

Shared *shared() noexcept
{
    return segment;
}

void request_shared_memory()
{
    previous_request_hook = shmem_request_hook;
    shmem_request_hook = request;
    previous_startup_hook = shmem_startup_hook;
    shmem_startup_hook = startup;
}

DatabaseSlot *find_database(Oid database, bool create) noexcept
{
    DatabaseSlot *const slot = find(
        segment->databases, [&](const DatabaseSlot &s) { return s.database == database; }, create);
    if (slot && slot->database == InvalidOid)
    {
        clear(*slot);
        slot->database = database;
    }
    return slot;
}

SourceSlot *find_source(Oid database, int32 source_id, bool create) noexcept
{
    SourceSlot *const slot = find(
        segment->sources, [&](const SourceSlot &s) { return s.database == database && s.source_id == source_id; },
        create);
    if (slot && slot->database == InvalidOid)
    {
        *slot = SourceSlot{};
        slot->database = database;
        slot->source_id = source_id;
    }
    return slot;
}

GenerationSlot *find_generation(Oid database, int32 generation_id, bool create) noexcept
{
    GenerationSlot *const slot = find(
        segment->generations,
        [&](const GenerationSlot &s) { return s.database == database && s.generation_id == generation_id; }, create);
    if (slot && slot->database == InvalidOid)
    {
        *slot = GenerationSlot{};
        slot->database = database;
        slot->generation_id = generation_id;
    }
    return slot;
}

RebuildSlot *find_rebuild(uint64 lane) noexcept
{
    return find(
        segment->rebuilds, [&](const RebuildSlot &s) { return s.lane == lane; }, false);
}

RebuildSlot *make_rebuild(Oid database, int32 source_id, int32 generation_id, int32 share) noexcept
{
    RebuildSlot *const slot = find(
        segment->rebuilds, [](const RebuildSlot &) { return false; }, true);
    if (!slot)
        return nullptr;
    const uint64 incarnation = slot->incarnation + 1;
    *slot = RebuildSlot{};
    slot->incarnation = incarnation;
    slot->lane = ++segment->next_lane;
    slot->wanted_since = GetCurrentTimestamp();
    slot->database = database;
    slot->source_id = source_id;
    slot->generation_id = generation_id;
    slot->share = share;
    return slot;
}

RebuildSlot *find_rebuild_of_share(Oid database, int32 generation_id, int32 share) noexcept
{
    for (RebuildSlot &slot : segment->rebuilds)
        if (slot.database == database && slot.generation_id == generation_id && slot.share == share)
            return &slot;
    return nullptr;
}

void forget_unused_rebuilds(Oid database) noexcept
{
    for (RebuildSlot &rebuild : segment->rebuilds)
    {
        if (rebuild.database != database || rebuild.pid != 0 || rebuild.starting)
            continue;
        const bool used = std::any_of(
            std::begin(segment->generations), std::end(segment->generations),
            [&](const GenerationSlot &slot)
            {
                return slot.database == database &&
                       (rebuild.generation_id != 0 ? slot.generation_id == rebuild.generation_id
                                                   : slot.lane == rebuild.lane) &&
                       (slot.assignment == Assignment::rebuild_wanted || slot.assignment == Assignment::rebuild);
            });
        if (!used)
            rebuild.database = InvalidOid;
    }
}

void forget_database(Oid database) noexcept
{
    for (DatabaseSlot &slot : segment->databases)
        if (slot.database == database)
            clear(slot);
    for (SourceSlot &slot : segment->sources)
        if (slot.database == database)
            slot.database = InvalidOid;
    for (GenerationSlot &slot : segment->generations)
        if (slot.database == database)
            slot.database = InvalidOid;
    for (RebuildSlot &slot : segment->rebuilds)
        if (slot.database == database)
            slot.database = InvalidOid;
}

std::optional<SourceSlot> source_snapshot(int32 source_id) noexcept
{
    if (!segment)
        return std::nullopt;
    const SharedLock lock(LW_SHARED);
    const SourceSlot *const slot = find_source(MyDatabaseId, source_id);
    return slot ? std::optional<SourceSlot>(*slot) : std::nullopt;
}

std::optional<GenerationSlot> generation_snapshot(int32 generation_id) noexcept
{
    if (!segment)
        return std::nullopt;
    // Where this process found it last; a slot stays where it is, and who got its place is told apart below.
    static std::array<uint16, 1024> places;
    static_assert(max_generations <= std::numeric_limits<uint16>::max());
    uint16 &place = places[static_cast<uint32>(generation_id) % places.size()];
    const SharedLock lock(LW_SHARED);
    const GenerationSlot *slot = &segment->generations[place];
    if (slot->database != MyDatabaseId || slot->generation_id != generation_id)
    {
        slot = find_generation(MyDatabaseId, generation_id);
        if (!slot)
            return std::nullopt;
        place = static_cast<uint16>(slot - segment->generations);
    }
    return *slot;
}

DatabaseHealth database_health() noexcept
{
    DatabaseHealth health;
    if (!segment)
        return health;
    health.preloaded = true;
    const SharedLock lock(LW_SHARED);
    if (const DatabaseSlot *const slot = find_database(MyDatabaseId))
    {
        health.tail_pid = slot->pid;
        health.tail_alive = slot->pid != 0 && slot->serving;
        health.no_slot = slot->no_slot;
        health.version_mismatch = slot->version_mismatch;
    }
    return health;
}

} // namespace worker
