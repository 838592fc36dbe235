#include "pg/progress_watch.hpp"

namespace pg
{

volatile sig_atomic_t ProgressWatch::steps = 0;
volatile sig_atomic_t ProgressWatch::has_expired = false;

namespace
{

constexpr int grace_ms = 1000;

volatile sig_atomic_t seen_steps = 0;
volatile sig_atomic_t idle_looks = 0;
volatile sig_atomic_t patience = 0; // looks
volatile sig_atomic_t grace = 0;    // looks after that
TimeoutId timeout = MAX_TIMEOUTS;

} // namespace

// In a signal handler.
void ProgressWatch::look()
{
    if (steps != seen_steps)
    {
        seen_steps = steps;
        idle_looks = 0;
        return;
    }
    idle_looks = idle_looks + 1;
    if (idle_looks < patience)
        return;
    // Again at every look, for code that swallows a cancel. Where it swallows all of them, nothing else ends it.
    has_expired = true;
    if (idle_looks >= patience + grace && MyBackendType == B_BG_WORKER)
        ProcDiePending = true;
    QueryCancelPending = true;
    InterruptPending = true;
    SetLatch(MyLatch);
}

ProgressWatch::ProgressWatch(int limit) : armed(limit > 0)
{
    has_expired = false;
    if (!armed)
        return;
    if (timeout == MAX_TIMEOUTS)
        timeout = call([] { return RegisterTimeout(USER_TIMEOUT, look); });
    const int interval = std::clamp(limit / 4, 1, 1000);
    seen_steps = steps;
    idle_looks = 0;
    patience = std::max(1, limit / interval);
    grace = std::max(3, grace_ms / interval);
    call([&]
         { enable_timeout_every(timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), interval), interval); });
}

ProgressWatch::~ProgressWatch()
{
    if (!armed)
        return;
    disable_timeout(timeout, false);
    // A cancel that came too late must not hit what follows.
    if (has_expired)
        QueryCancelPending = false;
}

} // namespace pg
