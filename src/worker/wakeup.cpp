// Why no wake-up is lost. A writer ends its transaction, *then* adds to `announced`, *then* reads `waiting`. The tail
// worker sets `waiting`, *then* reads `announced`, and sleeps only if it has not moved since before it last read the
// events (WorkerProcess::wait_for_announcement). Between each side's write and its read lies a full barrier, so at
// least one of them sees what the other wrote: the worker does not fall asleep, or the writer sets its latch; a latch
// that is set before WaitLatch makes it return at once. And since the transaction was visible before `announced` moved,
// a worker that saw the new number reads the new events.
//
// The announcement is made when the resource owner of the whole transaction has released its locks (not by a
// transaction callback, which runs a moment earlier): only then has everyone got the invalidations of a changed
// catalog, and is the sequence's lock gone, which a worker that waits for a hole looks for.

#include "worker/wakeup.hpp"

#include "worker/in_hand.hpp"
#include "worker/shared.hpp"

namespace worker
{

namespace
{

ExecutorStart_hook_type previous_executor_start = nullptr;
ProcessUtility_hook_type previous_process_utility = nullptr;

// What the current transaction is to announce. A rolled-back savepoint takes nothing back: one wake-up too many is
// harmless.
struct Noted
{
    bool any;
    bool events;
    bool definitions;
    bool sources;
    bool extension;
    bool databases;
    bool finishes_prepared;
    bool stops;
    bool failures;
};
Noted noted;
// Generations; left over from an earlier transaction unless their flag in `noted` is set.
std::vector<int32> stopped;
std::vector<int32> failed;

// The event tables of this database, as of `seen_registrations`.
Oid event_tables[max_sources];
int event_table_count = 0;
uint64 seen_registrations = 0;

void refresh_event_tables() noexcept
{
    // Read first: a change during the copy makes the next statement look again.
    const uint64 registrations = pg_atomic_read_u64(&shared()->registrations);
    pg_read_barrier();
    const SharedLock lock(LW_SHARED);
    int count = 0;
    for (const SourceSlot &slot : shared()->sources)
        if (slot.database == MyDatabaseId && OidIsValid(slot.events))
            event_tables[count++] = slot.events;
    event_table_count = count;
    seen_registrations = registrations;
}

bool is_event_table(Oid relation) noexcept
{
    for (int i = 0; i < event_table_count; i++)
        if (event_tables[i] == relation)
            return true;
    return false;
}

// Every target counts, whatever the command (INSERT, MERGE, an INSERT in a WITH): deleting old events costs a wake-up.
void note_targets(const PlannedStmt *statement) noexcept
{
    if (statement->resultRelations == NIL || noted.events || !OidIsValid(MyDatabaseId))
        return;
    if (unlikely(pg_atomic_read_u64(&shared()->registrations) != seen_registrations))
        refresh_event_tables();
    if (event_table_count == 0)
        return;
    for (int i = 0; i < list_length(statement->resultRelations); i++)
        if (is_event_table(rt_fetch(list_nth_int(statement->resultRelations, i), statement->rtable)->relid))
        {
            noted.any = noted.events = true;
            return;
        }
}

void note_utility(const Node *statement) noexcept
{
    switch (nodeTag(statement))
    {
    case T_CopyStmt:
        // Into which table is not worth a look-up: a COPY into another one costs a wake-up.
        if (reinterpret_cast<const CopyStmt *>(statement)->is_from)
            noted.any = noted.events = true;
        break;
    case T_TransactionStmt:
    {
        const TransactionStmtKind kind = reinterpret_cast<const TransactionStmt *>(statement)->kind;
        if (kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED)
            noted.any = noted.events = noted.finishes_prepared = true;
        break;
    }
    case T_CreatedbStmt:
    case T_DropdbStmt:
    case T_AlterDatabaseStmt:
        noted.any = noted.databases = true;
        break;
    case T_DropStmt:
        // The tail worker finds the extension gone. It would sooner or later anyway.
        if (reinterpret_cast<const DropStmt *>(statement)->removeType == OBJECT_EXTENSION)
            noted.any = noted.definitions = true;
        break;
    case T_AlterExtensionStmt:
        noted.any = noted.definitions = true;
        break;
    case T_RenameStmt:
        if (reinterpret_cast<const RenameStmt *>(statement)->renameType == OBJECT_DATABASE)
            noted.any = noted.databases = true;
        break;
    default:
        break;
    }
}

void set_latch_of(const DatabaseSlot &slot) noexcept
{
    // The pointer may be stale; it leads into PGPROCs, which stay, and a latch set without need is harmless.
    if (Latch *const latch = *static_cast<Latch *const volatile *>(&slot.latch))
        SetLatch(latch);
}

// The slot of this database, nullptr if there is none. Remembered: slots of a database hardly ever move.
DatabaseSlot *own_database() noexcept
{
    static DatabaseSlot *remembered = nullptr;
    if (remembered && remembered->database == MyDatabaseId)
        return remembered;
    const SharedLock lock(LW_SHARED);
    remembered = find_database(MyDatabaseId);
    return remembered;
}

void want_probe() noexcept
{
    {
        const SharedLock lock(LW_EXCLUSIVE);
        // No room: the launcher says so when it finds the database by itself.
        if (DatabaseSlot *const slot = find_database(MyDatabaseId, true))
            slot->probe_wanted = true;
    }
    wake_launcher();
}

void count_failures() noexcept
{
    const SharedLock lock(LW_EXCLUSIVE);
    for (const int32 id : failed)
        if (GenerationSlot *const slot = find_generation(MyDatabaseId, id, true))
            slot->failures++;
}

// The transaction has ended, is visible, and holds no lock any more.
void tell(Noted what, bool committed) noexcept
{
    if (what.finishes_prepared && pg_atomic_read_u32(&shared()->prepared_changes) != 0)
        what.definitions = what.sources = what.extension = true;
    if (what.databases)
        wake_launcher();
    if (!OidIsValid(MyDatabaseId))
        return;
    if (what.failures && committed)
        count_failures();
    if (what.extension && committed)
        want_probe();
    if (what.sources && committed)
        announce_event_tables();
    DatabaseSlot *const slot = own_database();
    if (!slot)
        return;
    if (what.definitions && committed)
    {
        pg_atomic_fetch_add_u64(&slot->definitions, 1); // a full barrier
        set_latch_of(*slot);
        if (what.stops)
            for (const int32 id : stopped)
                break_off_folds(id);
    }
    if (what.events)
    {
        pg_atomic_fetch_add_u64(&slot->announced, 1); // a full barrier: see the top of this file
        if (pg_atomic_read_u32(&slot->waiting))
            set_latch_of(*slot);
    }
}

} // namespace

} // namespace worker

// The hooks note and hand on; what they note cannot raise, so they need no border of their own.
extern "C"
{

    static void readmodel_executor_start(QueryDesc *query, int flags)
    {
        worker::note_targets(query->plannedstmt);
        if (worker::previous_executor_start)
            worker::previous_executor_start(query, flags);
        else
            standard_ExecutorStart(query, flags);
    }

    static void readmodel_process_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
                                          ProcessUtilityContext context, ParamListInfo parameters,
                                          QueryEnvironment *environment, DestReceiver *receiver,
                                          QueryCompletion *completion)
    {
        worker::note_utility(statement->utilityStmt);
        if (worker::previous_process_utility)
            worker::previous_process_utility(statement, text, read_only_tree, context, parameters, environment,
                                             receiver, completion);
        else
            standard_ProcessUtility(statement, text, read_only_tree, context, parameters, environment, receiver,
                                    completion);
    }

    static void readmodel_transaction_ended(ResourceReleasePhase phase, bool committed, bool top_level, void *)
    {
        if (likely(!worker::noted.any) || phase != RESOURCE_RELEASE_AFTER_LOCKS || !top_level)
            return;
        const worker::Noted what = std::exchange(worker::noted, worker::Noted{});
        worker::tell(what, committed);
    }

    // A prepared transaction has not changed anything yet, whatever its resource owner says: whoever finishes it will
    // announce it.
    static void readmodel_transaction_event(XactEvent event, void *)
    {
        if (event != XACT_EVENT_PREPARE)
            return;
        if (worker::noted.definitions || worker::noted.extension)
            pg_atomic_write_u32(&worker::shared()->prepared_changes, 1);
        worker::noted = worker::Noted{};
    }

} // extern "C"

namespace worker
{

void install_wakeup()
{
    if (!process_shared_preload_libraries_in_progress)
        return;
    previous_executor_start = ExecutorStart_hook;
    ExecutorStart_hook = readmodel_executor_start;
    previous_process_utility = ProcessUtility_hook;
    ProcessUtility_hook = readmodel_process_utility;
    RegisterResourceReleaseCallback(readmodel_transaction_ended, nullptr);
    RegisterXactCallback(readmodel_transaction_event, nullptr);
}

void announce_definitions(bool sources)
{
    if (!shared())
        return;
    noted.any = noted.definitions = true;
    noted.sources |= sources;
}

void announce_stop(int32 generation_id)
{
    announce_definitions();
    if (!shared())
        return;
    if (!noted.stops)
        stopped.clear();
    stopped.push_back(generation_id);
    noted.stops = true;
}

void announce_failure(int32 generation_id)
{
    if (!shared())
        return;
    if (!noted.failures)
        failed.clear();
    failed.push_back(generation_id);
    noted.any = noted.failures = true;
}

void announce_extension()
{
    if (!shared())
        return;
    noted.any = noted.extension = true;
}

void announce_event_tables() noexcept
{
    if (shared())
        pg_atomic_fetch_add_u64(&shared()->registrations, 1);
}

void announce_now() noexcept
{
    if (!shared() || !OidIsValid(MyDatabaseId))
        return;
    if (DatabaseSlot *const slot = own_database())
    {
        pg_atomic_fetch_add_u64(&slot->definitions, 1);
        set_latch_of(*slot);
    }
}

void wake_tail() noexcept
{
    if (!shared() || !OidIsValid(MyDatabaseId))
        return;
    pg_memory_barrier();
    if (const DatabaseSlot *const slot = own_database())
        set_latch_of(*slot);
}

void wake_launcher() noexcept
{
    if (!shared())
        return;
    pg_memory_barrier();
    if (Latch *const latch = *static_cast<Latch *const volatile *>(&shared()->launcher_latch))
        SetLatch(latch);
}

} // namespace worker

namespace
{

Datum announce_extension_function(FunctionCallInfo)
{
    worker::announce_extension();
    PG_RETURN_VOID();
}

} // namespace

READMODEL_FUNCTION(readmodel_announce_extension, announce_extension_function);
