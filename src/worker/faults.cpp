#include "worker/faults.hpp"

#include "pg/guard.hpp"
#include "pg/text.hpp"
#include "query/arguments.hpp"
#include "query/result_row.hpp"
#include "worker/worker_process.hpp"

#include <csignal>

namespace worker::faults
{

namespace
{

constexpr const char *point_names[] = {
#define READMODEL_FAULT_POINT_AS_TEXT(name) #name,
    READMODEL_FAULT_POINTS(READMODEL_FAULT_POINT_AS_TEXT)
#undef READMODEL_FAULT_POINT_AS_TEXT
};
constexpr int points = std::size(point_names);

constexpr const char *who_names[] = {"tail", "rebuild", "catch_up"};
constexpr int whos = std::size(who_names);

constexpr const char *action_names[] = {"none", "stop", "error", "kill"};
enum class Action : int
{
    none,
    stop,
    error,
    kill,
};

// How long a process that stands at a point goes without looking whether it was told to end.
constexpr long look_ms = 50;

constexpr int64 always = -1;

struct Slot
{
    Action action;
    int sqlstate;    // of an error
    int64 remaining; // how often yet; `always`
    int64 hits;      // how often a process came by, armed or not
    pid_t stopped;   // who stands here, or stood here last
    uint64 releases;
};

struct Area
{
    LWLock *lock;
    ConditionVariable released;
    Slot slots[points][whos];
};

Area *area = nullptr;
shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

constexpr const char *area_name = "pg_readmodel faults";

// A tranche for each point, whose name pg_stat_activity shows as the wait event of who stands there.
std::string tranche_of(int point)
{
    return std::string("readmodel_fault_") + point_names[point];
}

void request()
{
    if (previous_request_hook)
        previous_request_hook();
    RequestAddinShmemSpace(sizeof(Area));
    RequestNamedLWLockTranche(area_name, 1);
    for (int point = 0; point < points; point++)
        RequestNamedLWLockTranche(tranche_of(point).c_str(), 1);
}

void startup()
{
    if (previous_startup_hook)
        previous_startup_hook();
    bool found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    area = static_cast<Area *>(ShmemInitStruct(area_name, sizeof(Area), &found));
    if (!found)
    {
        std::memset(static_cast<void *>(area), 0, sizeof(Area));
        area->lock = &GetNamedLWLockTranche(area_name)->lock;
        ConditionVariableInit(&area->released);
    }
    LWLockRelease(AddinShmemInitLock);
}

class AreaLock
{
public:
    AreaLock() noexcept { LWLockAcquire(area->lock, LW_EXCLUSIVE); }
    ~AreaLock() { LWLockRelease(area->lock); }
    AreaLock(const AreaLock &) = delete;
    AreaLock &operator=(const AreaLock &) = delete;
};

int own_who()
{
    if (!MyBgworkerEntry)
        return 2;
    return std::string_view(MyBgworkerEntry->bgw_type) == "pg_readmodel rebuild" ? 1 : 0;
}

bool held(const Slot &slot, uint64 releases)
{
    const AreaLock lock;
    return slot.releases == releases;
}

void stand_still(int point, Slot &slot, uint64 releases)
{
    pg::call(
        [&]
        {
            const uint32 wait_event = PG_WAIT_LWLOCK | GetNamedLWLockTranche(tranche_of(point).c_str())->lock.tranche;
            ConditionVariablePrepareToSleep(&area->released);
            while (held(slot, releases) && !WorkerProcess::terminating())
                (void)ConditionVariableTimedSleep(&area->released, look_ms, wait_event);
            ConditionVariableCancelSleep();
        });
    const AreaLock lock;
    if (slot.stopped == MyProcPid)
        slot.stopped = 0;
}

} // namespace

void request_shared_memory()
{
    previous_request_hook = shmem_request_hook;
    shmem_request_hook = request;
    previous_startup_hook = shmem_startup_hook;
    shmem_startup_hook = startup;
}

void reach(Point at)
{
    if (!area)
        return;
    const int point = static_cast<int>(at);
    Slot &slot = area->slots[point][own_who()];
    Slot now;
    {
        const AreaLock lock;
        slot.hits++;
        if (slot.action == Action::none || slot.remaining == 0)
            return;
        if (slot.remaining != always)
            slot.remaining--;
        if (slot.action == Action::stop)
            slot.stopped = MyProcPid;
        now = slot;
    }
    switch (now.action)
    {
    case Action::none:
        return;
    case Action::stop:
        stand_still(point, slot, now.releases);
        return;
    case Action::error:
        pg::call([&] { ereport(ERROR, (errcode(now.sqlstate), errmsg("fault at point %s", point_names[point]))); });
        return;
    case Action::kill:
        // Not a signal that anything could handle: as the kernel does it when memory is short.
        kill(MyProcPid, SIGKILL);
        return;
    }
}

namespace
{

template <size_t count>
int find(const char *const (&names)[count], const char *what, const std::string &wanted)
{
    for (size_t i = 0; i < count; i++)
        if (wanted == names[i])
            return static_cast<int>(i);
    throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, std::string(what) + " " + pg::shown(wanted) + " does not exist");
}

void require_area()
{
    if (!area)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the library was not preloaded");
}

// Calls change(slot) for a point (NULL: all) and a kind of process ("any": all).
template <class F>
void change_slots(FunctionCallInfo fcinfo, int point_argument, int who_argument, F &&change)
{
    require_area();
    const std::optional<std::string> point_name = query::maybe_text_argument(fcinfo, point_argument);
    const std::string who_name = query::text_argument(fcinfo, who_argument, "who");
    const int point = point_name ? find(point_names, "fault point", *point_name) : -1;
    const int who = who_name == "any" ? -1 : find(who_names, "kind of process", who_name);
    {
        const AreaLock lock;
        for (int p = 0; p < points; p++)
            for (int w = 0; w < whos; w++)
                if ((point == -1 || p == point) && (who == -1 || w == who))
                    change(area->slots[p][w]);
    }
    pg::call([] { ConditionVariableBroadcast(&area->released); });
}

// (point text, action text, who text, times int, sqlstate text) RETURNS void. times NULL: always.
Datum arm(FunctionCallInfo fcinfo)
{
    query::require_argument(fcinfo, 0, "point");
    const auto action = static_cast<Action>(find(action_names, "action", query::text_argument(fcinfo, 1, "action")));
    const int64 times = PG_ARGISNULL(3) ? always : PG_GETARG_INT32(3);
    const std::string state = query::text_argument(fcinfo, 4, "sqlstate");
    if (state.size() != 5)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, pg::shown(state) + " is not an SQLSTATE");
    const int sqlstate = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
    change_slots(fcinfo, 0, 2,
                 [&](Slot &slot)
                 {
                     slot.action = action;
                     slot.remaining = times;
                     slot.sqlstate = sqlstate;
                 });
    PG_RETURN_VOID();
}

// (point text, who text) RETURNS void: who stands there goes on; what is armed stays so.
Datum release(FunctionCallInfo fcinfo)
{
    change_slots(fcinfo, 0, 1, [](Slot &slot) { slot.releases++; });
    PG_RETURN_VOID();
}

// (point text, who text) RETURNS void: nothing happens there any more, and who stands there goes on.
Datum disarm(FunctionCallInfo fcinfo)
{
    change_slots(fcinfo, 0, 1,
                 [](Slot &slot)
                 {
                     slot.action = Action::none;
                     slot.releases++;
                 });
    PG_RETURN_VOID();
}

// () RETURNS TABLE (point text, who text, action text, remaining bigint, hits bigint, stopped int)
Datum list(FunctionCallInfo fcinfo)
{
    require_area();
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    for (int point = 0; point < points; point++)
        for (int who = 0; who < whos; who++)
        {
            const Slot slot = [&]
            {
                const AreaLock lock;
                return area->slots[point][who];
            }();
            query::ResultRow<6> row;
            row.text(0, point_names[point]);
            row.text(1, who_names[who]);
            row.text(2, action_names[static_cast<int>(slot.action)]);
            if (slot.remaining != always)
                row.bigint(3, slot.remaining);
            row.bigint(4, slot.hits);
            // One that was ended there has not said so.
            if (slot.stopped != 0 && pg::call([&] { return BackendPidGetProc(slot.stopped) != nullptr; }))
                row.set(5, Int32GetDatum(slot.stopped));
            row.put(fcinfo);
        }
    return Datum{0};
}

} // namespace

} // namespace worker::faults

READMODEL_FUNCTION(readmodel_fault_arm, worker::faults::arm);
READMODEL_FUNCTION(readmodel_fault_release, worker::faults::release);
READMODEL_FUNCTION(readmodel_fault_disarm, worker::faults::disarm);
READMODEL_FUNCTION(readmodel_fault_list, worker::faults::list);
