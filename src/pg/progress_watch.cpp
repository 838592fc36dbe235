#include "pg/progress_watch.hpp"

namespace pg
{

volatile sig_atomic_t ProgressWatch::steps = 0;
volatile sig_atomic_t ProgressWatch::has_expired = false;

namespace
{

constexpr int grace_ms = 1000; // of swallowing

volatile sig_atomic_t seen_steps = 0;
volatile sig_atomic_t idle_looks = 0;
volatile sig_atomic_t patience = 0;  // looks
volatile sig_atomic_t swallowed = 0; // looks that found the last cancel taken
volatile sig_atomic_t most_swallowed = 0;
volatile sig_atomic_t dies = false; // by this watch
bool in_our_worker = false;
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
    // Again at every look, for code that swallows a cancel. Where it swallows one after the other, nothing else ends it; where it has
    // not come to one yet, that is none.
    if (has_expired && !QueryCancelPending)
        swallowed = swallowed + 1;
    has_expired = true;
    if (swallowed >= most_swallowed && in_our_worker && !ProcDiePending)
    {
        ProcDiePending = true;
        dies = true;
    }
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
    swallowed = 0;
    most_swallowed = std::max(3, grace_ms / interval);
    dies = false;
    in_our_worker = MyBackendType == B_BG_WORKER && std::strcmp(MyBgworkerEntry->bgw_library_name, "pg_readmodel") == 0;
    call([&]
         { enable_timeout_every(timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), interval), interval); });
}

ProgressWatch::~ProgressWatch()
{
    if (!armed)
        return;
    disable_timeout(timeout, false);
    // What came too late must not hit what follows.
    if (has_expired)
        QueryCancelPending = false;
    if (dies)
        ProcDiePending = false;
}

} // namespace pg
