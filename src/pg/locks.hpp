// The lock table and sequences, as the settled position and the workers need them.
#pragma once

#include "pg/guard.hpp"

namespace pg
{

// A transaction that holds a lock: its virtual transaction id stays the same when it is prepared.
struct LockHolder
{
    VirtualTransactionId vxid;

    friend bool operator==(const LockHolder &a, const LockHolder &b)
    {
        return VirtualTransactionIdEquals(a.vxid, b.vxid);
    }
};

// The other transactions that hold a lock on `relation` which conflicts with `mode`, fast path and prepared ones included.
// The caller's own transaction is left out, as are transactions that have ended and are visible to new snapshots.
std::vector<LockHolder> conflicting_holders(Oid relation, LOCKMODE mode);

// True when the transaction has ended (also if it was prepared in between) and new snapshots see what it did. Never waits.
bool has_ended(const LockHolder &holder);

// The process that runs the transaction; 0 for a prepared one.
int process_of(const LockHolder &holder);

// When the transaction that a process runs started; 0: unknown. Copies the activity of all backends: not for every step.
TimestampTz transaction_start_of(int pid);

// A relation and everything that inherits from it (its partitions), locked until the end of the transaction with `mode`; waits
// for lock_timeout at most.
std::vector<Oid> lock_with_inheritors(Oid relation, LOCKMODE mode);

// The same relations, not locked.
std::vector<Oid> inheritors(Oid relation);

enum class LockAttempt
{
    locked, // until the end of the transaction
    busy,   // somebody holds a conflicting lock
    gone,   // there is no such relation any more
};

// Locks a relation without waiting.
LockAttempt try_lock(Oid relation, LOCKMODE mode);

// Locks a relation, waiting as long as lock_timeout allows. False: it was dropped before that was granted.
bool lock_unless_gone(Oid relation, LOCKMODE mode);

// Locks a relation, waiting for that many milliseconds at most (55P03). Who comes later waits behind this: for short waits only.
void lock_within(Oid relation, LOCKMODE mode, int milliseconds);

// The process of one of the transactions whose lock conflicts with `mode`; 0: none, or a prepared transaction.
int blocker_of(Oid relation, LOCKMODE mode);

// True if this session's transaction holds the relation's lock in this mode.
bool holds_lock(Oid relation, LOCKMODE mode);

// The number of the file that a relation's data is in now; 0 if it has none or is gone. Needs a transaction.
Oid file_of(Oid relation);

// True while another session holds or waits with a lock on this database that keeps its sessions out (DROP DATABASE,
// CREATE DATABASE .. TEMPLATE, ALTER DATABASE ..).
bool database_is_wanted(Oid database);

// The last value that was drawn from a sequence, as one atomic reading of its page; one less than its start if none was.
// Takes AccessShareLock, which no writer's lock conflicts with; pg_sequence_last_value() would take the lock that we look for.
// Source: nextval_internal() in commands/sequence.c sets the page's last_value twice under the buffer's exclusive lock.
int64 sequence_last_drawn(Oid sequence);

} // namespace pg
