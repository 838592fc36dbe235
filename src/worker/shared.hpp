// What the processes of a server share: which workers live, how far each source is settled and each generation has got.
//
// All of it can be rebuilt from the catalog: it is empty after every start of the server. Status functions may use it only to
// say less than the catalog says (a row that says "live" needs a worker that proves it). Nothing here is announced before the
// transaction that made it true has committed.
//
// One LWLock guards all fields that are not atomic. It is held for copies only, never around a call that can wait or raise.
#pragma once

#include "pg/postgres.hpp"
#include "source/position.hpp"
#include "worker/advances.hpp"

namespace worker
{

using source::MaybePosition;
using source::Position;

inline constexpr int max_databases = 64;
inline constexpr int max_sources = 256;
inline constexpr int max_generations = 4096;
inline constexpr int max_rebuilds = 64;
inline constexpr int max_shown_blockers = 8;
inline constexpr int max_shown_holders = 64;

// Why a generation does not move; the codes are those of DESIGN's `reason`.
enum class Block : int
{
    none,
    lock,
    permission,
    restoring,
    transient,  // an error that is being retried; `note` says which
    source,     // the source cannot be read; `note` says why
    definition, // something that the definition names is gone; `note` says what
    dependents, // the view has to be made anew for a takeover, and other objects depend on it
    takeover,   // a reader of the view, or who has locked the states, keeps a takeover waiting; `note` says what
};

// Which lane a generation belongs to. Only the tail worker assigns; a rebuild worker hands over.
enum class Assignment : int
{
    none,           // nobody has looked at it since the server started
    rebuild_wanted, // waits for the rebuild lane `rebuild`
    rebuild,        // that lane runs
    handed_over,    // that lane is done with it: the tail adopts it
    tail,
};

// A database that may have the extension, and its tail worker.
struct DatabaseSlot
{
    Oid database;          // InvalidOid: unused
    uint64 incarnation;    // moves with every worker that is started here: a stale worker finds that it is another's
    pid_t pid;             // the tail worker; 0: none
    Latch *latch;          // its latch; points into PGPROC, so setting a stale one is harmless
    bool serving;          // the worker has the extension and has begun to work
    bool absent;           // the last worker found no extension here
    bool no_slot;          // the last start failed for want of a worker slot
    bool probe_wanted;     // something says that the extension may be here now
    bool version_mismatch; // library and catalog differ: the worker idles
    int failures;          // consecutive, for the backoff
    TimestampTz next_start;
    pg_atomic_uint64 announced;   // moves with every commit or abort of a transaction that touched an event table
    pg_atomic_uint64 definitions; // moves with every commit that changed the catalog
    pg_atomic_uint32 waiting;     // the worker sleeps and wants to be woken by events
};

// A transaction that holds the lock of a guarded source's sequence, by its virtual id.
struct LockOwner
{
    int32 backend;
    uint32 transaction;
    SharedPosition floor; // H of the last mark that does not wait for it
};

// A source as its tail worker sees it.
struct SourceSlot
{
    Oid database; // InvalidOid: unused
    int32 source_id;
    Oid events; // the event table, whose writers wake the tail; after a change: worker::announce_event_tables()
    SharedPosition settled;
    bool pending;                       // a mark waits for its holders
    int64 pending_hole;                 // the first missing position
    TimestampTz pending_since;          // since when that hole
    int blockers;                       // how many transactions hold the mark up
    int blocked_by[max_shown_blockers]; // their pids; 0: a prepared transaction
    TimestampTz blocked_start;          // when the oldest of them began
    int64 batches;
    int64 lock_lookups;
    int64 events_read;
    // Of a guarded source (source/position_floor.hpp); these only rise.
    SharedPosition passed; // what somebody has settled: nobody may insert at or below it ..
    SharedPosition floor;  // .. or, who takes the sequence's lock from now on, at or below H of a session's mark ..
    SharedPosition marked; // .. or at or below this one, H of the last mark, but for those whom it waits for:
    SharedPosition marked_before; // H of the mark before
    bool marking;                 // .. of which it is not known yet whom that is
    int holder_count;
    LockOwner holders[max_shown_holders]; // as many as there is room for
};

// A generation as the lane that holds it sees it.
struct GenerationSlot
{
    Oid database; // InvalidOid: unused
    int32 generation_id;
    pid_t worker_pid; // whoever moves it now; 0: nobody
    Assignment assignment;
    uint64 lane;             // the rebuild lane, as RebuildSlot::lane has it
    Advances advances;       // the stored checkpoints, and what it has been advanced over meanwhile
    bool reached;            // live, and the target was reached since the server started ..
    SharedPosition required; // .. by the commit that stored this checkpoint: an older snapshot has not seen it
    TimestampTz current_at;  // the last time at which it had applied every event that was visible; 0: not yet
    int64 events_applied;
    int64 batches;  // that were stored, since the server started
    int64 failures; // that were recorded, since the server started
    double events_per_second;
    TimestampTz logged_at;    // a progress line of a rebuild that is split
    TimestampTz lane_started; // the rebuild or catch-up that is under way began
    Block block;
    int blocker_pid;
    char note[160];
};

// A rebuild lane that is wanted or runs. The tail worker makes the slot and assigns generations to it; the launcher starts the
// worker; the slot is freed by the worker when its generations are handed over, failed or gone.
struct RebuildSlot
{
    Oid database; // InvalidOid: unused
    int32 source_id;
    uint64 lane; // a number that no other lane had since the server started
    int32
        generation_id; // of a rebuild that is split: this lane has `share` of it, and nothing else; 0: any generations
    int32 share;
    uint64 incarnation;
    TimestampTz wanted_since;
    pid_t pid;     // 0: not running
    bool starting; // registered with the postmaster, not up yet
    bool no_slot;  // the last start failed for want of a worker slot
    int failures;
    TimestampTz next_start;
};

struct Shared
{
    LWLock *lock;
    pid_t launcher_pid;
    Latch *launcher_latch;
    pg_atomic_uint64
        registrations; // moves when the set of sources changes: backends refresh their list of event tables
    uint64 next_lane;
    pg_atomic_uint32
        prepared_changes;       // not 0: a prepared transaction changed a catalog, so COMMIT PREPARED may change it
    ConditionVariable progress; // broadcast after every commit of a lane
    DatabaseSlot databases[max_databases];
    SourceSlot sources[max_sources];
    GenerationSlot generations[max_generations];
    RebuildSlot rebuilds[max_rebuilds];
};

// The shared memory, or nullptr when the library was not preloaded.
Shared *shared() noexcept;

// Hooks for _PG_init (only in the postmaster).
void request_shared_memory();

// Holds the lock of the shared memory for a scope.
class SharedLock
{
public:
    explicit SharedLock(LWLockMode mode) noexcept { LWLockAcquire(shared()->lock, mode); }
    ~SharedLock()
    {
        if (LWLockHeldByMe(shared()->lock))
            LWLockRelease(shared()->lock);
    }
    SharedLock(const SharedLock &) = delete;
    SharedLock &operator=(const SharedLock &) = delete;
};

// The slot of .., made if there is none and `create`. nullptr: none, or no room. Call with the lock held (exclusively to create).
DatabaseSlot *find_database(Oid database, bool create = false) noexcept;
SourceSlot *find_source(Oid database, int32 source_id, bool create = false) noexcept;
GenerationSlot *find_generation(Oid database, int32 generation_id, bool create = false) noexcept;

RebuildSlot *find_rebuild(uint64 lane) noexcept;

// A new rebuild lane; nullptr: no room.
RebuildSlot *make_rebuild(Oid database, int32 source_id, int32 generation_id = 0, int32 share = 0) noexcept;

// The lane of a share; nullptr: there is none.
RebuildSlot *find_rebuild_of_share(Oid database, int32 generation_id, int32 share) noexcept;

// Frees the rebuild lanes of a database that no worker has taken up and no generation belongs to any more: only a worker that
// runs frees its own. For the tail worker, which makes them; call with the lock held exclusively.
void forget_unused_rebuilds(Oid database) noexcept;

// Forgets everything about a database (it was dropped, or the extension was).
void forget_database(Oid database) noexcept;

// Copies for readers; nothing when there is no slot or no shared memory.
std::optional<SourceSlot> source_snapshot(int32 source_id) noexcept;
std::optional<GenerationSlot> generation_snapshot(int32 generation_id) noexcept;

// How the workers of this database stand, for status functions.
struct DatabaseHealth
{
    bool preloaded = false;
    bool tail_alive = false; // a tail worker serves this database now
    bool no_slot = false;
    bool version_mismatch = false;
    pid_t tail_pid = 0;
};
DatabaseHealth database_health() noexcept;

} // namespace worker
