// Injection points: named places at which a test can stop a process of ours, let it fail, or kill it. Only in a build with
// -DREADMODEL_FAULTS (make FAULTS=1); in every other one FAULT_POINT() is nothing, and faults.cpp is not compiled.
//
//     FAULT_POINT(before_commit);
//     transaction.commit();
//
// What happens there is armed in shared memory through the SQL functions at the end of faults.cpp, which a test declares for
// itself (test/ReadModelFaults.pm). It is kept apart for tail workers, rebuild workers and catch_up (any session), and is gone
// with the shared memory: after a crash nothing is armed.
//
// A point may lie anywhere in C++, inside or outside of a transaction, but not where shared memory's lock is held, nor inside
// pg::call. A process that stands at a point goes on when it is released or told to end.
#pragma once

#ifdef READMODEL_FAULTS

// clang-format off
#define READMODEL_FAULT_POINTS(point)                                                                                  \
    point(before_read)            /* the transaction of a page has begun, nothing is locked */                         \
    point(before_lock)            /* just before the lock on the event table */                                        \
    point(before_mark_test)       /* just before a holder of the pending mark is looked for */                         \
    point(before_snapshot)        /* the table is locked, the mark was tested */                                       \
    point(after_snapshot)         /* nothing was read under it yet */                                                  \
    point(within_mark)            /* after each of the two questions of a new mark: H, the holders */                  \
    point(within_guard)           /* a session's trigger has the sequence's lock and not yet the floor */              \
    point(before_flush)           /* a page was folded; there may be nothing to write */                               \
    point(before_checkpoint)      /* one generation's, just before the compare-and-set */                              \
    point(after_checkpoint)       /* .. between it and the states of the same flush */                                 \
    point(before_commit)          /* of a flush */                                                                     \
    point(after_commit)           /* .. of which this process has noted nothing */                                     \
    point(before_publish)         /* it has noted it; shared memory does not say so */                                 \
    point(before_takeover)        /* nothing of the takeover was done */                                               \
    point(before_table_lock)      /* of it: what the older table was prepared for is known, the table is not locked */ \
    point(before_takeover_commit) /* all of it was */                                                                  \
    point(after_takeover_commit)  /* .. and nobody was told */                                                         \
    point(before_hand_over)       /* a rebuild lane is done and committed; the tail does not know */
// clang-format on

namespace worker::faults
{

enum class Point : int
{
#define READMODEL_FAULT_POINT_AS_NAME(name) name,
    READMODEL_FAULT_POINTS(READMODEL_FAULT_POINT_AS_NAME)
#undef READMODEL_FAULT_POINT_AS_NAME
};

// Does what is armed for this process at this point. Throws pg::PgError if that is an error.
void reach(Point point);

// For _PG_init in the postmaster.
void request_shared_memory();

} // namespace worker::faults

#define FAULT_POINT(name) ::worker::faults::reach(::worker::faults::Point::name)

#else

#define FAULT_POINT(name) static_cast<void>(0)

#endif
