// The life of a worker process:
//
//     attach to the slot -> connect -> wait until the extension can be used -> run_tail or run_rebuild -> exit
//
// Exit code 0, silently: it was asked to stop, had nothing to do, or the extension is not here (`absent`). Exit code 1:
// an error, which was logged once. Either way the slot is cleared after the transaction in hand was aborted, and the
// launcher, which the postmaster notifies, decides what is next.

#include "worker/worker_process.hpp"

#include "pg/locks.hpp"
#include "pg/transaction.hpp"
#include "settings.hpp"
#include "worker/extension_use.hpp"
#include "worker/in_hand.hpp"
#include "worker/session_settings.hpp"
#include "worker/shared.hpp"
#include "worker/wakeup.hpp"

extern "C"
{
    static void readmodel_worker_watchdog(SIGNAL_ARGS);
}

namespace worker
{

namespace
{

// How often the watchdog looks after work in progress once SIGTERM has come, and after how many looks it ends the
// process.
constexpr int watchdog_interval = 250; // ms
constexpr int user_code_patience = 4;  // for code that swallows cancels
constexpr int patience = 20;           // for a last flush, or a commit that waits for a standby

// Of this process. Signal handlers read and write the volatile ones only.
volatile sig_atomic_t sigterm_came = false;
volatile sig_atomic_t connected = false;
volatile sig_atomic_t user_code_depth = 0;
volatile sig_atomic_t looks_since_sigterm = 0;

WorkerStart start;
uint64 definitions_before = 0; // the transaction
DatabaseSlot *database_slot = nullptr;
NameData database_name;
bool is_rebuild = false;
timer_t watchdog;
TimestampTz next_check = 0;
bool stopping = false;

// Whether the slot is still the one that this process was started for.
bool owns_slot(const RebuildSlot *slot)
{
    return slot && slot->incarnation == start.incarnation;
}

bool owns_slot(const DatabaseSlot *slot)
{
    return slot && slot->incarnation == start.incarnation;
}

// Takes the slot; false if it is another's by now.
bool take_slot(DatabaseSlot &database)
{
    if (is_rebuild)
    {
        RebuildSlot *const slot = find_rebuild(start.lane);
        if (!owns_slot(slot) || slot->pid != 0)
            return false;
        slot->pid = MyProcPid;
        slot->starting = false;
        slot->no_slot = false;
        return true;
    }
    if (!owns_slot(&database) || database.pid != 0)
        return false;
    database.pid = MyProcPid;
    database.latch = MyLatch;
    database.serving = false;
    database.no_slot = false;
    return true;
}

bool attach()
{
    const SharedLock lock(LW_EXCLUSIVE);
    DatabaseSlot *const database = find_database(start.database);
    if (!database)
        return false;
    database_slot = database;
    if (!take_slot(*database))
        return false;
    begin_notes(start.database);
    return true;
}

bool still_attached()
{
    const SharedLock lock(LW_SHARED);
    if (is_rebuild)
    {
        const RebuildSlot *const slot = find_rebuild(start.lane);
        return owns_slot(slot) && slot->pid == MyProcPid;
    }
    const DatabaseSlot *const slot = find_database(start.database);
    return owns_slot(slot) && slot->pid == MyProcPid;
}

// Registered before the callback that aborts the transaction, so it runs after it: who sees the slot empty sees no
// locks of ours.
void detach() noexcept
{
    {
        const SharedLock lock(LW_EXCLUSIVE);
        if (is_rebuild)
        {
            RebuildSlot *const slot = find_rebuild(start.lane);
            if (owns_slot(slot) && slot->pid == MyProcPid)
                slot->pid = 0;
        }
        else if (DatabaseSlot *const slot = find_database(start.database); owns_slot(slot) && slot->pid == MyProcPid)
        {
            slot->pid = 0;
            slot->latch = nullptr;
            slot->serving = false;
            pg_atomic_write_u32(&slot->waiting, 0);
        }
        // What this process moved, nobody moves now.
        for (GenerationSlot &generation : shared()->generations)
            if (generation.database == start.database && generation.worker_pid == MyProcPid)
                generation.worker_pid = 0;
        if (end_notes() && is_rebuild && database_slot)
        {
            // The tail counts what was left in hand.
            pg_atomic_fetch_add_u64(&database_slot->definitions, 1);
            if (database_slot->latch)
                SetLatch(database_slot->latch);
        }
    }
    // Whoever waits for progress finds that nobody works.
    ConditionVariableBroadcast(&shared()->progress);
    wake_launcher();
}

void update_slot(void (*change)(DatabaseSlot &))
{
    if (is_rebuild)
        return;
    const SharedLock lock(LW_EXCLUSIVE);
    if (DatabaseSlot *const slot = find_database(start.database); owns_slot(slot))
        change(*slot);
}

// Armed by SIGTERM's handler (timer_settime may be called there, PostgreSQL's timeouts may not), so it costs nothing
// before.
void create_watchdog()
{
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR2;
    pg::call(
        [&]
        {
            pqsignal(SIGUSR2, readmodel_worker_watchdog);
            if (timer_create(CLOCK_MONOTONIC, &event, &watchdog) != 0)
                ereport(ERROR, (errmsg("could not create a timer: %m")));
        });
}

// A tail worker waits here, idle and holding nothing, while the extension is being changed or has another version.
// False: end.
bool wait_until_usable(WorkerProcess &process)
{
    for (;;)
    {
        if (process.stop_requested())
            return false;
        Usable usable;
        {
            pg::Transaction transaction;
            usable = use_extension();
            transaction.commit();
        }
        switch (usable)
        {
        case Usable::yes:
            update_slot(
                [](DatabaseSlot &slot)
                {
                    slot.absent = slot.version_mismatch = false;
                    slot.serving = true;
                });
            wake_launcher(); // rebuilds wait for it
            process.report("starting");
            return true;
        case Usable::absent:
            update_slot([](DatabaseSlot &slot) { slot.absent = true; });
            return false;
        case Usable::busy:
            process.report("waiting for a change of the extension to end");
            break;
        case Usable::other_version:
            update_slot([](DatabaseSlot &slot) { slot.version_mismatch = true; });
            process.report("waiting for ALTER EXTENSION pg_readmodel UPDATE");
            break;
        }
        if (is_rebuild)
            return false;
        process.sleep(500);
    }
}

// An error that ends the worker: logged once, with its own text.
void log_error(const pg::detail::Outgoing &outgoing) noexcept
{
    pg::entry_silent(
        [&]
        {
            try
            {
                pg::call([&] { outgoing.raise(); });
            }
            catch (pg::PgError &error)
            {
                auto [context, data] = error.release();
                data->elevel = WARNING;
                pg::call([data = data] { ThrowErrorData(data); });
            }
        });
}

// Returns the exit code.
int run()
{
    WorkerProcess process;
    pg::detail::Outgoing outgoing;
    try
    {
        if (wait_until_usable(process))
        {
            if (is_rebuild)
                run_rebuild(process, start.lane);
            else
                run_tail(process);
        }
        return 0;
    }
    catch (const StopWorker &stop)
    {
        outgoing.kind = pg::detail::Outgoing::Kind::none;
        if (stop.reason)
            pg::entry_silent([&] { pg::call([&] { elog(DEBUG1, "worker stops: %s", stop.reason); }); });
    }
    catch (...)
    {
        outgoing.keep_current_exception();
    }
    // The transactions of the frames above were aborted as they were left.
    AbortOutOfAnyTransaction();
    if (outgoing.kind == pg::detail::Outgoing::Kind::none || sigterm_came)
        return 0;
    log_error(outgoing);
    return 1;
}

} // namespace

} // namespace worker

extern "C"
{

    // Seen by the next CHECK_FOR_INTERRUPTS.
    static void cancel_soon()
    {
        QueryCancelPending = true;
        InterruptPending = true;
    }

    static void die_soon()
    {
        ProcDiePending = true;
        InterruptPending = true;
    }

    static void readmodel_worker_sigterm(SIGNAL_ARGS)
    {
        const int saved_errno = errno;
        worker::sigterm_came = true;
        if (!worker::connected)
            die_soon(); // it may wait for a lock on the database
        else if (worker::user_code_depth > 0)
            cancel_soon();
        const itimerspec looks = {{0, worker::watchdog_interval * 1000000L}, {0, worker::watchdog_interval * 1000000L}};
        timer_settime(worker::watchdog, 0, &looks, nullptr);
        SetLatch(MyLatch);
        errno = saved_errno;
    }

    // lock_timeout and statement_timeout arrive as a SIGINT that the process sends itself.
    static void readmodel_worker_sigint(SIGNAL_ARGS)
    {
        if (worker::user_code_depth > 0 || get_timeout_indicator(LOCK_TIMEOUT, false) ||
            get_timeout_indicator(STATEMENT_TIMEOUT, false))
            StatementCancelHandler(postgres_signal_arg);
    }

    // Another process has crashed, or the server is shut down at once: what is in hand here is not the reason.
    static void readmodel_worker_sigquit(SIGNAL_ARGS)
    {
        worker::drop_note();
        SignalHandlerForCrashExit(postgres_signal_arg);
    }

    static void readmodel_worker_watchdog(SIGNAL_ARGS)
    {
        static_cast<void>(postgres_signal_arg);
        const int saved_errno = errno;
        const int looks = worker::looks_since_sigterm + 1;
        worker::looks_since_sigterm = looks;
        const bool user_code = worker::user_code_depth > 0;
        if (looks >= (user_code ? worker::user_code_patience : worker::patience))
            die_soon();
        else if (user_code)
            cancel_soon();
        SetLatch(MyLatch);
        errno = saved_errno;
    }

    static void readmodel_worker_exit(int, Datum)
    {
        worker::detach();
    }

} // extern "C"

namespace worker
{

bool WorkerProcess::stop_requested()
{
    if (stopping)
        return true;
    if (unlikely(InterruptPending))
        pg::check_for_interrupts();
    if (unlikely(ConfigReloadPending))
    {
        reload_session_settings();
        next_check = 0;
    }
    if (sigterm_came)
        return stopping = true;
    const TimestampTz now = GetCurrentTimestamp();
    if (now < next_check)
        return false;
    next_check = now + USECS_PER_SEC;
    pg::call([] { pgstat_report_stat(false); });
    if (!PostmasterIsAlive())
        proc_exit(1);
    stopping = !settings::enabled || !database_is_listed(NameStr(database_name)) || !still_attached() ||
               pg::database_is_wanted(MyDatabaseId);
    return stopping;
}

void WorkerProcess::enter_transaction()
{
    definitions_before = pg_atomic_read_u64(&database_slot->definitions);
    switch (use_extension())
    {
    case Usable::yes:
        return;
    case Usable::absent:
        update_slot([](DatabaseSlot &slot) { slot.absent = true; });
        throw StopWorker{"the extension was dropped"};
    case Usable::busy:
        throw StopWorker{"the extension is being changed"};
    case Usable::other_version:
        throw StopWorker{"the extension has another version than the library"};
    }
}

namespace
{

// Waits in slices of a second, since the reasons to stop are not all announced by the latch.
void wait_on_latch(WorkerProcess &process, long milliseconds)
{
    const TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
    pg::call([] { pgstat_report_activity(STATE_IDLE, nullptr); });
    while (!process.stop_requested())
    {
        const long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
        if (left <= 0)
            break;
        const int events = pg::call(
            [&]
            {
                const int happened = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                               std::min(left, 1000L), PG_WAIT_EXTENSION);
                ResetLatch(MyLatch);
                return happened;
            });
        if (events & WL_LATCH_SET)
            break;
    }
    pg::call([] { pgstat_report_activity(STATE_RUNNING, nullptr); });
}

} // namespace

void WorkerProcess::sleep(long milliseconds)
{
    wait_on_latch(*this, milliseconds);
}

Announcements WorkerProcess::announcements() const noexcept
{
    Announcements seen;
    seen.events = pg_atomic_read_u64(&database_slot->announced);
    seen.definitions = pg_atomic_read_u64(&database_slot->definitions);
    pg_memory_barrier(); // what is read after this is no older than these
    return seen;
}

void WorkerProcess::wait_for_announcement(const Announcements &seen, long milliseconds)
{
    // The argument stands on top of wakeup.cpp.
    pg_atomic_write_u32(&database_slot->waiting, 1);
    pg_memory_barrier();
    const Announcements now = announcements();
    if (now.events == seen.events && now.definitions == seen.definitions)
        wait_on_latch(*this, milliseconds);
    pg_atomic_write_u32(&database_slot->waiting, 0);
}

void WorkerProcess::report(const std::string &activity)
{
    pg::call([&] { pgstat_report_activity(STATE_RUNNING, activity.c_str()); });
}

WorkerProcess::UserCode::UserCode()
{
    if (!connected)
        return; // a session that folds by itself has its own handlers
    user_code_depth = user_code_depth + 1;
    // SIGTERM may have come just before: its handler saw no user code.
    if (sigterm_came)
        cancel_soon();
}

WorkerProcess::UserCode::~UserCode()
{
    if (!connected)
        return;
    user_code_depth = user_code_depth - 1;
    // A cancel that came too late for this code must not hit the flush of what it did.
    if (user_code_depth == 0)
        QueryCancelPending = false;
}

bool WorkerProcess::terminating() noexcept
{
    return sigterm_came;
}

bool WorkerProcess::definitions_moved()
{
    return connected && pg_atomic_read_u64(&database_slot->definitions) != definitions_before;
}

namespace
{

constexpr std::int64_t slice_ms = 1000;
std::int64_t slice_end_ms = 0;

// The exact clock would be too dear: this is asked for every call of an updater.
timespec coarse_now()
{
    timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now;
}

std::int64_t milliseconds_of(const timespec &time)
{
    return static_cast<std::int64_t>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

} // namespace

void WorkerProcess::begin_slice()
{
    slice_end_ms = milliseconds_of(coarse_now()) + slice_ms;
}

bool WorkerProcess::should_leave_page()
{
    if (!connected)
        return false;
    if (sigterm_came)
        return true;
    static time_t looked_at = 0;
    const timespec now = coarse_now();
    if (milliseconds_of(now) >= slice_end_ms)
        return true;
    if (now.tv_sec == looked_at) // once a second
        return false;
    looked_at = now.tv_sec;
    return definitions_moved() || pg::database_is_wanted(MyDatabaseId);
}

namespace
{

void worker_main(bool rebuild)
{
    is_rebuild = rebuild;
    std::memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof start);

    int code = 0;
    create_watchdog();
    pg::call(
        []
        {
            pqsignal(SIGHUP, SignalHandlerForConfigReload);
            pqsignal(SIGTERM, readmodel_worker_sigterm);
            pqsignal(SIGINT, readmodel_worker_sigint);
            pqsignal(SIGQUIT, readmodel_worker_sigquit);
            BackgroundWorkerUnblockSignals();
        });
    if (!shared() || !attach())
        return;
    pg::call(
        []
        {
            before_shmem_exit(readmodel_worker_exit, 0);
            BackgroundWorkerInitializeConnectionByOid(start.database, InvalidOid, 0);
        });
    connected = true;
    apply_session_settings();
    pg::call(
        []
        {
            // Fixed as long as anyone is connected.
            StartTransactionCommand();
            namestrcpy(&database_name, get_database_name(MyDatabaseId));
            CommitTransactionCommand();
        });
    code = run();
    if (code != 0)
        proc_exit(code);
}

} // namespace

} // namespace worker

READMODEL_EXPORT void readmodel_tail_main(Datum);
void readmodel_tail_main(Datum)
{
    pg::entry([] { worker::worker_main(false); });
}

READMODEL_EXPORT void readmodel_rebuild_main(Datum);
void readmodel_rebuild_main(Datum)
{
    pg::entry([] { worker::worker_main(true); });
}
