// Cancels the code in hand when it makes no progress.
//
// A timer that the caller feeds by counting costs nothing per step, where a timeout per step would cost two system calls. The
// limit is kept to a quarter of itself, or a second where that is less.
#pragma once

#include "pg/guard.hpp"

namespace pg
{

// While it lives: when done() was not called for `limit` milliseconds, the code in hand is cancelled (57014) and expired() is
// true. One of our workers whose code has swallowed the cancels of another second is terminated (57P01) in it; a session goes on
// until somebody terminates it. 0 is no limit. Does not nest.
class ProgressWatch
{
public:
    explicit ProgressWatch(int limit);
    ~ProgressWatch();
    ProgressWatch(const ProgressWatch &) = delete;
    ProgressWatch &operator=(const ProgressWatch &) = delete;

    // One step is finished.
    static void done() noexcept { steps = steps + 1; }
    // True if the last watch cancelled something.
    static bool expired() noexcept { return has_expired; }

private:
    static void look();

    static volatile sig_atomic_t steps;
    static volatile sig_atomic_t has_expired;
    bool armed;
};

} // namespace pg
