// readmodel.wait_for(): read-your-writes. Returns once what get() would answer includes a position.
//
// Each look takes a fresh snapshot, so it needs READ COMMITTED, and it can only ever see what other transactions have committed:
// a caller that has itself written to the source would wait for its own commit, and is refused.

#include "pg/locks.hpp"
#include "pg/sqlstate.hpp"
#include "pg/transaction.hpp"
#include "query/arguments.hpp"
#include "query/readiness.hpp"
#include "source/event_source.hpp"

namespace
{

using namespace query;

// Lanes broadcast after each commit. What they learn without a commit (events that a query does not read), what happens
// without shared memory, and a standby are seen by looking again.
constexpr long look_again_ms = 50;

// An interval in microseconds as PostgreSQL counts its months and days, at most a year.
int64 microseconds_of(const Interval &interval)
{
    constexpr double most = 365.0 * SECS_PER_DAY * USECS_PER_SEC;
    const double exact = static_cast<double>(interval.time) +
                         (static_cast<double>(interval.month) * DAYS_PER_MONTH + static_cast<double>(interval.day)) *
                             SECS_PER_DAY * USECS_PER_SEC;
    return static_cast<int64>(std::min(exact, most));
}

void require_fresh_snapshots()
{
    if (IsolationUsesXactSnapshot())
        throw pg::Error(ERRCODE_ACTIVE_SQL_TRANSACTION,
                        "cannot wait for a position in a transaction with isolation level " +
                            std::string(IsolationIsSerializable() ? "serializable" : "repeatable read"))
            .detail("Its snapshot would never show what is waited for.")
            .hint("Call readmodel.wait_for() in a READ COMMITTED transaction, before the one that reads.");
}

// The position could not be settled before this transaction ends: the sequence's lock is what the settled position waits for.
void require_no_own_writes(const catalog::QueryRow &query)
{
    const std::optional<source::EventSource> source = catalog::find_source(query.source_id);
    if (!source || !OidIsValid(source->events))
        return;
    const Oid sequence = source::position_sequence(source->events, source->position_column);
    if ((OidIsValid(sequence) && pg::holds_lock(sequence, RowExclusiveLock)) ||
        pg::holds_lock(source->events, RowExclusiveLock))
        throw pg::Error(ERRCODE_ACTIVE_SQL_TRANSACTION, "cannot wait for query " + pg::shown(query.name) +
                                                            " in a transaction that wrote to its source " +
                                                            pg::shown(source->name))
            .detail("Events are applied after their transaction has committed.")
            .hint("Commit first, then call readmodel.wait_for().");
}

// What one look has found.
struct Look
{
    Readable readable;
    bool reached = false;
    Position position = 0; // if reached
};

// On a standby the stored checkpoint trails over events that the query does not read: once no unread one is left and the
// position has arrived here, everything up to it is in the states.
bool standby_has_reached(const catalog::QueryRow &query, const Readable &readable, Position at_least)
{
    if (readable.standing.status != Status::ready)
        return false;
    const std::optional<source::EventSource> source = catalog::find_source(query.source_id);
    const MaybePosition head = source ? source::head_position(*source) : std::nullopt;
    return head && *head >= at_least;
}

Look look(const std::string &name, Position at_least)
{
    const pg::FreshSnapshot snapshot;
    const ServerFacts server = server_facts();
    const catalog::QueryRow query = visible_query(name);
    Look look{readable_generation(server, query), false, 0};
    const Readable &readable = look.readable;
    if (readable.generation.own_uncommitted)
        throw pg::Error(ERRCODE_ACTIVE_SQL_TRANSACTION,
                        "cannot wait for query " + pg::shown(name) + " in the transaction that defined it")
            .hint("Commit first, then call readmodel.wait_for().");
    const MaybePosition &position = readable.standing.position;
    // "rebuilding" would be refused to a reader. A stall is no reason to wait where the states are far enough already.
    if (position && *position >= at_least && (server.standby || readable.standing.status != Status::rebuilding))
    {
        look.reached = true;
        look.position = *position;
    }
    else if (server.standby && standby_has_reached(query, readable, at_least))
    {
        look.reached = true;
        look.position = at_least;
    }
    else if (const Status status = readable.standing.status;
             status == Status::failed || status == Status::paused || status == Status::gated)
        throw not_readable(query, readable); // nothing moves it but an operator
    return look;
}

pg::Error timed_out(const std::string &name, Position at_least, const Look &last)
{
    const Standing &standing = last.readable.standing;
    std::string detail = "Position reached: " + (standing.position ? std::to_string(*standing.position) : "none") +
                         "; status: " + std::string(name_of(standing.status));
    detail += standing.reason.empty() ? "." : " (" + standing.reason + ").";
    return pg::Error(pg::sqlstate::timeout,
                     "query " + pg::shown(name) + " did not reach position " + std::to_string(at_least) + " in time")
        .detail(std::move(detail));
}

void sleep_at_most(long milliseconds)
{
    pg::call(
        [&]
        {
            if (worker::Shared *const shared = RecoveryInProgress() ? nullptr : worker::shared())
                ConditionVariableTimedSleep(&shared->progress, milliseconds, PG_WAIT_EXTENSION);
            else
            {
                (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                                PG_WAIT_EXTENSION);
                ResetLatch(MyLatch);
            }
            CHECK_FOR_INTERRUPTS();
        });
}

Position wait_until(const std::string &name, Position at_least, TimestampTz deadline)
{
    const pg::OwnedContext memory(CurrentMemoryContext, "pg_readmodel wait_for");
    for (;;)
    {
        // A fresh snapshot sees rows only; what the relation cache knows has to be brought up to date too.
        pg::call([] { AcceptInvalidationMessages(); });
        std::optional<Look> last;
        {
            const pg::InContext inside(memory.get());
            last = look(name, at_least);
        }
        MemoryContextReset(memory.get());
        if (last->reached)
            return last->position;
        const TimestampTz now = GetCurrentTimestamp();
        if (now >= deadline)
            throw timed_out(name, at_least, *last);
        sleep_at_most(std::clamp<long>(static_cast<long>((deadline - now) / 1000), 1, look_again_ms));
    }
}

Datum wait_for(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    require_argument(fcinfo, 1, "at_least");
    require_argument(fcinfo, 2, "timeout");
    const Position at_least = PG_GETARG_INT64(1);
    const int64 timeout = microseconds_of(*PG_GETARG_INTERVAL_P(2));
    if (timeout < 0)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"timeout\" must not be negative");
    require_fresh_snapshots();
    require_no_own_writes(visible_query(name));

    const TimestampTz deadline = GetCurrentTimestamp() + timeout;
    const Position position = wait_until(name, at_least, deadline);
    pg::call([] { ConditionVariableCancelSleep(); });
    return Int64GetDatum(position);
}

} // namespace

READMODEL_FUNCTION(readmodel_wait_for, wait_for);
