// What every worker process of ours has in common: its start, its place in shared memory, and the reasons to stop.
//
// A worker connects as the bootstrap superuser with row_security off, search_path pinned, READ COMMITTED forced, lock_timeout
// and synchronous_commit as the settings say. It holds a slot in shared memory under an incarnation number; when the slot's
// incarnation moves on, the worker is stale and stops. Only the launcher starts workers.
//
// A loop that works on announcements looks so:
//     const Announcements seen = process.announcements();   // before the look, so that nothing falls between
//     .. look, work ..
//     process.wait_for_announcement(seen, settings::poll_interval);
#pragma once

#include "pg/guard.hpp"

namespace worker
{

// Thrown (not an error) when the worker is to end: the work in hand is abandoned or was flushed, nothing is lost.
struct StopWorker
{
    const char *reason;
};

// How often this database's writers and definers have announced something.
struct Announcements
{
    uint64 events = 0;
    uint64 definitions = 0;
};

// How the launcher tells a worker what it is, through bgw_extra.
struct WorkerStart
{
    Oid database;
    uint64 lane; // of a rebuild
    uint64 incarnation;
};

class WorkerProcess
{
public:
    // True when the worker is to end soon: SIGTERM, readmodel.enabled off or the database no longer listed, a DDL on the
    // database that needs it empty (looked for at most every second), the slot taken by another. Cheap; call it between pages.
    // Also re-reads the settings after SIGHUP and reports statistics. Outside of transactions only.
    bool stop_requested();

    // First thing in every transaction: takes AccessShareLock on the extension object, conditionally, and checks that the
    // catalog's version is the library's. Throws StopWorker if the extension is gone or about to go.
    void enter_transaction();

    // Waits for the latch or the time to pass. Returns at once when a stop is requested. Outside of transactions.
    void sleep(long milliseconds);

    // What has been announced so far. Take it before looking at what it announces.
    Announcements announcements() const noexcept;

    // Like sleep(), but writers wake it, and it does not begin if something was announced since `seen`.
    void wait_for_announcement(const Announcements &seen, long milliseconds);

    // Sets what pg_stat_activity shows.
    void report(const std::string &activity);

    // While one of these lives, SIGTERM cancels the running statement (57014), so that user code is left within a moment and
    // what was folded before can still be flushed; so does pg_cancel_backend(), which does nothing at other times. Code that
    // swallows the cancel is terminated after a second. They nest.
    class UserCode
    {
    public:
        UserCode();
        ~UserCode();
        UserCode(const UserCode &) = delete;
        UserCode &operator=(const UserCode &) = delete;
    };

    // True once SIGTERM has come, also inside a transaction.
    static bool terminating() noexcept;

    // True when a page should not be folded to its end: SIGTERM, the end of the slice, or, looked for every second, a change of the
    // definitions since enter_transaction() or a DDL on the database, which will not wait for a slow updater. For between two events;
    // false in a session that is no worker.
    static bool should_leave_page();

    // From here a generation has a second for its part of a page: what a slow updater has done by then is stored and shown, and the
    // other generations of its lane have their turn.
    static void begin_slice();

    // Definitions have changed since the transaction began: a call that was broken off then has not failed.
    static bool definitions_moved();
};

// What the processes do once they are up; they return to end, and throw to be restarted with backoff. A rebuild worker takes
// its RebuildSlot out before it returns, unless the rebuild is to go on later.
void run_tail(WorkerProcess &process);                 // tail_worker.cpp
void run_rebuild(WorkerProcess &process, uint64 lane); // rebuild_worker.cpp

// Registers the launcher; for _PG_init in the postmaster.
void register_launcher();

} // namespace worker
