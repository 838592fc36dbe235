// The launcher: one process per server that starts every other worker, and the only one that decides when.
//
// A round: read pg_database; look at every database's slot and every wanted rebuild; start what is due. Between rounds
// it waits for its latch, which is set by the postmaster when a worker has started or ended, by a backend that created
// an extension or a database, and by a tail worker that wants a rebuild.
//
//     unknown --probe--> tail runs --ends--> waits (backoff) --> tail runs ..
//                 \--> absent (no extension; looked at again when one is created, and rarely anyway)
//
// A tail worker is its own probe: where it finds no extension it says so in its slot and ends.

#include "pg/locks.hpp"
#include "pg/transaction.hpp"
#include "settings.hpp"
#include "worker/session_settings.hpp"
#include "worker/shared.hpp"
#include "worker/wakeup.hpp"
#include "worker/worker_process.hpp"

namespace worker
{

namespace
{

constexpr int64 backoff_first = 100;     // ms
constexpr int64 backoff_longest = 60000; // ms
constexpr int64 lived_well = 10000;      // ms; a worker that lived so long begins again with the shortest wait
constexpr int64 retry_slot = 1000;       // ms; a free worker slot is announced by nobody
constexpr int64 retry_wanted = 200;      // ms; nor is the end of a DDL on the database
constexpr int64 probe_again = 600000;    // ms; for extensions that came in another way than CREATE EXTENSION here
constexpr int64 longest_wait = 30000;    // ms

struct Database
{
    Oid oid;
    NameData name;
};

// A worker that was started and has not been seen to end.
struct Started
{
    BackgroundWorkerHandle *handle;
    TimestampTz at;
    uint64 incarnation;

    bool has_ended() const
    {
        pid_t pid;
        return GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
    }
};

TimestampTz after(TimestampTz now, int64 milliseconds)
{
    return now + milliseconds * 1000;
}

// Doubles with every failure in a row; the jitter keeps the workers of many databases apart.
int64 backoff(int failures)
{
    const int64 wait = backoff_first << std::clamp(failures - 1, 0, 10);
    return static_cast<int64>(static_cast<double>(std::min(wait, backoff_longest)) *
                              (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state)));
}

// The databases that may have workers: connections are allowed, no templates, not half dropped.
std::vector<Database> read_databases()
{
    std::vector<Database> databases;
    pg::Transaction transaction;
    size_t count = 0;
    const Database *const found = pg::call(
        [&]
        {
            size_t room = 16;
            auto *list = static_cast<Database *>(palloc(room * sizeof(Database)));
            const Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
            const TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
            while (const HeapTuple tuple = heap_getnext(scan, ForwardScanDirection))
            {
                const auto *const row = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
                if (!row->datallowconn || row->datistemplate ||
                    database_is_invalid_form(const_cast<Form_pg_database>(row)))
                    continue;
                if (count == room)
                    list = static_cast<Database *>(repalloc(list, (room *= 2) * sizeof(Database)));
                list[count++] = Database{row->oid, row->datname};
            }
            table_endscan(scan);
            table_close(catalog, AccessShareLock);
            return list;
        });
    databases.assign(found, found + count);
    transaction.commit();
    return databases;
}

class Launcher
{
public:
    void run();

private:
    void round();
    void look_at_tail(const Database &database, bool listed);
    void look_at_rebuilds(const std::vector<Database> &listed);
    void start_tail(const Database &database);
    void note_ended_rebuilds();
    void start_rebuild(const Database &database, uint64 lane);
    void forget_dropped(const std::vector<Database> &databases);
    void due(TimestampTz when) { next_round = std::min(next_round, when); }

    TimestampTz now = 0;
    TimestampTz next_round = 0;
    bool tail_lacks_slot = false;
    bool lacks_room = false;
    bool warned_of_room = false;
    std::map<Oid, Started> tails;
    std::map<uint64, Started> rebuilds; // by lane
    std::map<Oid, TimestampTz> absent;  // databases without the extension, and when to look again
};

// Registers a worker with the postmaster; nothing if there is no slot for it.
std::optional<Started> register_worker(const char *type, const char *function, const Database &database,
                                       const WorkerStart &start, TimestampTz now)
{
    // Not allocated by PostgreSQL: between transactions that would stay for good.
    const std::string name = std::string(type) + " of database \"" + NameStr(database.name) + "\"";
    BackgroundWorkerHandle *const handle = pg::call(
        [&]() -> BackgroundWorkerHandle *
        {
            BackgroundWorker worker = {};
            worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
            worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
            worker.bgw_restart_time = BGW_NEVER_RESTART;
            worker.bgw_notify_pid = MyProcPid;
            strlcpy(worker.bgw_type, type, sizeof worker.bgw_type);
            strlcpy(worker.bgw_name, name.c_str(), sizeof worker.bgw_name);
            strlcpy(worker.bgw_library_name, "pg_readmodel", sizeof worker.bgw_library_name);
            strlcpy(worker.bgw_function_name, function, sizeof worker.bgw_function_name);
            static_assert(sizeof start <= BGW_EXTRALEN);
            std::memcpy(worker.bgw_extra, &start, sizeof start);

            // The handle outlives the round.
            const MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
            BackgroundWorkerHandle *result = nullptr;
            if (!RegisterDynamicBackgroundWorker(&worker, &result))
                result = nullptr;
            MemoryContextSwitchTo(previous);
            return result;
        });
    if (!handle)
        return std::nullopt;
    return Started{handle, now, start.incarnation};
}

void Launcher::start_tail(const Database &database)
{
    WorkerStart start{database.oid, 0, 0};
    {
        const SharedLock lock(LW_EXCLUSIVE);
        DatabaseSlot *const slot = find_database(database.oid);
        if (!slot || slot->pid != 0)
            return;
        start.incarnation = ++slot->incarnation;
        // From here on: an extension that is created after the worker has looked asks for another look.
        slot->probe_wanted = slot->absent = false;
    }
    const std::optional<Started> started =
        register_worker("pg_readmodel tail", "readmodel_tail_main", database, start, now);
    if (started)
        tails.emplace(database.oid, *started);
    const SharedLock lock(LW_EXCLUSIVE);
    if (DatabaseSlot *const slot = find_database(database.oid); slot && slot->incarnation == start.incarnation)
    {
        slot->no_slot = !started;
        if (!started)
        {
            tail_lacks_slot = true;
            slot->next_start = after(now, retry_slot);
            due(slot->next_start);
        }
    }
}

void Launcher::look_at_tail(const Database &database, bool listed)
{
    bool ended = false;
    bool lived = false;
    if (const auto known = tails.find(database.oid); known != tails.end())
    {
        if (!known->second.has_ended())
            return; // the postmaster tells when it ends
        ended = true;
        lived = now - known->second.at >= lived_well * 1000;
        pfree(known->second.handle);
        tails.erase(known);
    }

    {
        const SharedLock lock(LW_EXCLUSIVE);
        DatabaseSlot *slot = find_database(database.oid);
        if (slot && slot->absent && !slot->probe_wanted && slot->pid == 0)
        {
            // The slot is for databases that have the extension.
            forget_database(database.oid);
            slot = nullptr;
            absent[database.oid] = after(now, probe_again);
        }
        if (!slot)
        {
            if (const auto known = absent.find(database.oid); known != absent.end() && now < known->second)
            {
                due(known->second);
                return;
            }
            if (!listed)
                return;
            slot = find_database(database.oid, true);
        }
        if (!slot)
        {
            lacks_room = true;
            return;
        }
        absent.erase(database.oid);
        if (slot->pid != 0)
            return; // started by a launcher before this one; it wakes us when it ends
        if (slot->probe_wanted)
        {
            slot->failures = 0;
            slot->next_start = 0;
        }
        else if (ended)
        {
            slot->failures = lived ? 1 : slot->failures + 1;
            slot->next_start = after(now, backoff(slot->failures));
        }
        if (!listed)
            return;
        if (now < slot->next_start)
        {
            due(slot->next_start);
            return;
        }
    }
    if (pg::database_is_wanted(database.oid))
    {
        due(after(now, retry_wanted));
        return;
    }
    start_tail(database);
}

void Launcher::note_ended_rebuilds()
{
    for (auto known = rebuilds.begin(); known != rebuilds.end();)
    {
        const auto &[key, started] = *known;
        if (!started.has_ended())
        {
            ++known;
            continue;
        }
        {
            const SharedLock lock(LW_EXCLUSIVE);
            RebuildSlot *const slot = find_rebuild(key);
            if (slot && slot->incarnation == started.incarnation)
            {
                slot->starting = false;
                slot->failures = now - started.at >= lived_well * 1000 ? 1 : slot->failures + 1;
                slot->next_start = after(now, backoff(slot->failures));
            }
        }
        pfree(started.handle);
        known = rebuilds.erase(known);
    }
}

void Launcher::start_rebuild(const Database &database, uint64 lane)
{
    WorkerStart start{database.oid, lane, 0};
    {
        const SharedLock lock(LW_EXCLUSIVE);
        RebuildSlot *const slot = find_rebuild(lane);
        if (!slot || slot->pid != 0 || slot->starting)
            return;
        start.incarnation = ++slot->incarnation;
        slot->starting = true;
    }
    const std::optional<Started> started =
        register_worker("pg_readmodel rebuild", "readmodel_rebuild_main", database, start, now);
    if (started)
        rebuilds.emplace(lane, *started);
    const SharedLock lock(LW_EXCLUSIVE);
    if (RebuildSlot *const slot = find_rebuild(lane); slot && slot->incarnation == start.incarnation)
    {
        slot->no_slot = !started;
        if (!started)
        {
            slot->starting = false;
            slot->next_start = after(now, retry_slot);
            due(slot->next_start);
        }
    }
}

void Launcher::look_at_rebuilds(const std::vector<Database> &listed)
{
    note_ended_rebuilds();

    struct Wanted
    {
        const Database *database;
        uint64 lane;
        TimestampTz since;
        TimestampTz next_start;
    };
    std::vector<Wanted> wanted;
    wanted.reserve(max_rebuilds);
    // A worker whose slot was taken out, or given to another, still runs until it has noticed.
    int running = static_cast<int>(rebuilds.size());
    {
        const SharedLock lock(LW_SHARED);
        for (const RebuildSlot &slot : shared()->rebuilds)
        {
            if (slot.database == InvalidOid || rebuilds.contains(slot.lane))
                continue;
            if (slot.pid != 0)
            {
                running++; // started by a launcher before this one
                continue;
            }
            const auto database =
                std::find_if(listed.begin(), listed.end(), [&](const Database &d) { return d.oid == slot.database; });
            const DatabaseSlot *const tail = find_database(slot.database);
            if (database != listed.end() && tail && tail->pid != 0 && tail->serving)
                wanted.push_back({&*database, slot.lane, slot.wanted_since, slot.next_start});
        }
    }
    std::sort(wanted.begin(), wanted.end(), [](const Wanted &a, const Wanted &b) { return a.since < b.since; });
    for (const Wanted &rebuild : wanted)
    {
        if (running >= settings::max_rebuild_workers || tail_lacks_slot)
            return; // the end of a worker starts the next round; so does the retry of the tail
        if (now < rebuild.next_start)
        {
            due(rebuild.next_start);
            continue;
        }
        if (pg::database_is_wanted(rebuild.database->oid))
        {
            due(after(now, retry_wanted));
            continue;
        }
        start_rebuild(*rebuild.database, rebuild.lane);
        running++;
    }
}

// Databases that were dropped, or no longer let anybody in.
void Launcher::forget_dropped(const std::vector<Database> &databases)
{
    const auto exists = [&](Oid oid)
    { return std::any_of(databases.begin(), databases.end(), [&](const Database &d) { return d.oid == oid; }); };
    std::erase_if(absent, [&](const auto &known) { return !exists(known.first); });
    for (auto known = tails.begin(); known != tails.end();)
        if (!exists(known->first) && known->second.has_ended())
        {
            pfree(known->second.handle);
            known = tails.erase(known);
        }
        else
            ++known;
    const SharedLock lock(LW_EXCLUSIVE);
    for (const DatabaseSlot &slot : shared()->databases)
        if (slot.database != InvalidOid && slot.pid == 0 && !exists(slot.database))
            forget_database(slot.database);
}

void Launcher::round()
{
    const std::vector<Database> databases = read_databases();
    now = GetCurrentTimestamp();
    next_round = after(now, longest_wait);
    tail_lacks_slot = lacks_room = false;

    forget_dropped(databases);
    std::vector<Database> listed;
    for (const Database &database : databases)
    {
        const bool has_workers = settings::enabled && database_is_listed(NameStr(database.name));
        if (has_workers)
            listed.push_back(database);
        look_at_tail(database, has_workers);
    }
    look_at_rebuilds(listed);

    if (lacks_room && !std::exchange(warned_of_room, true))
        pg::call(
            []
            {
                ereport(WARNING, (errmsg("pg_readmodel serves at most %d databases", max_databases),
                                  errhint("Name those that need it in \"readmodel.databases\".")));
            });
}

void Launcher::run()
{
    for (;;)
    {
        pg::check_for_interrupts();
        if (ShutdownRequestPending)
            return;
        if (ConfigReloadPending)
        {
            ConfigReloadPending = false;
            pg::call([] { ProcessConfigFile(PGC_SIGHUP); });
        }
        round();
        pg::call(
            [&]
            {
                pgstat_report_stat(false);
                const long wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_round);
                (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, PG_WAIT_EXTENSION);
                ResetLatch(MyLatch);
            });
    }
}

} // namespace

} // namespace worker

extern "C"
{

    static void readmodel_launcher_exit(int, Datum)
    {
        const worker::SharedLock lock(LW_EXCLUSIVE);
        worker::shared()->launcher_pid = 0;
        worker::shared()->launcher_latch = nullptr;
    }

} // extern "C"

namespace worker
{

namespace
{

void launcher_main()
{
    pg::call(
        []
        {
            pqsignal(SIGHUP, SignalHandlerForConfigReload);
            pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
            BackgroundWorkerUnblockSignals();
            BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
            before_shmem_exit(readmodel_launcher_exit, 0);
        });
    {
        const SharedLock lock(LW_EXCLUSIVE);
        shared()->launcher_pid = MyProcPid;
        shared()->launcher_latch = MyLatch;
        // Workers that a launcher before this one registered find another incarnation in their slots, once they are up.
        for (RebuildSlot &slot : shared()->rebuilds)
            slot.starting = false;
    }
    Launcher().run();
    // With exit code 0 the postmaster would not start it again.
    proc_exit(1);
}

} // namespace

void register_launcher()
{
    // The catalogs are moved about underneath.
    if (IsBinaryUpgrade)
        return;
    BackgroundWorker worker = {};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = 1;
    strlcpy(worker.bgw_name, "pg_readmodel launcher", sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, "pg_readmodel launcher", sizeof worker.bgw_type);
    strlcpy(worker.bgw_library_name, "pg_readmodel", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, "readmodel_launcher_main", sizeof worker.bgw_function_name);
    pg::call([&] { RegisterBackgroundWorker(&worker); });
}

} // namespace worker

READMODEL_EXPORT void readmodel_launcher_main(Datum);
void readmodel_launcher_main(Datum)
{
    pg::entry([] { worker::launcher_main(); });
}
