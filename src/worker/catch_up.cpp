// CALL readmodel.catch_up(name): applies what is settled in the session that calls it, and commits per batch.
//
// It needs no worker and no preloaded library. It proves the settled position for itself and never publishes it; with a worker at
// work on the same generations the compare-and-set decides each batch, and the loser begins again where the winner has stopped.

#include "pg/log.hpp"
#include "pg/sqlstate.hpp"
#include "pg/transaction.hpp"
#include "query/carry_over.hpp"
#include "query/catalog.hpp"
#include "query/catalog_rows.hpp"
#include "query/generation_check.hpp"
#include "query/readiness.hpp"
#include "query/takeover.hpp"
#include "settings.hpp"
#include "source/source_watch.hpp"
#include "worker/faults.hpp"
#include "worker/publish.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

// Delays between tries at what a transient error has stopped, doubled each time: some six seconds in all.
constexpr long first_retry_ms = 100;
constexpr int most_retries = 6;

void wait_on_latch(long milliseconds)
{
    pg::call(
        [&]
        {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
}

bool read_alike(const source::EventSource &a, const source::EventSource &b)
{
    return a.events == b.events && a.sequence == b.sequence && a.owner == b.owner && a.search_path == b.search_path &&
           (!OidIsValid(a.events) || a.page_query() == b.page_query());
}

class CatchUp
{
public:
    explicit CatchUp(const query::QueryRow &row) : query(row) {}

    ~CatchUp();
    CatchUp(const CatchUp &) = delete;
    CatchUp &operator=(const CatchUp &) = delete;

    void run();

private:
    void announce(bool caught_up);
    void refuse_if_paused();
    bool load();
    bool batch();
    bool wait_to_try_again();
    void raise_failures();
    void take_over();
    void take_over(const Member &member);
    void tell_of_newest();
    template <class F>
    void as_engine(F &&f);

    query::QueryRow query;
    std::optional<source::EventSource> config;
    std::unique_ptr<source::LockWitness> witness;
    std::optional<source::SettledPosition> settled;
    std::optional<Position> target; // what was drawn when it began: a busy log must not keep it for ever
    std::unique_ptr<Lane> lane;
    int failures = 0; // transient ones in a row
};

// The engine's own statements run as the catalog's owner; user code inside switches to its owner by itself.
template <class F>
void CatchUp::as_engine(F &&f)
{
    const pg::AsUser engine(query::catalog_owner(), false);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    f();
}

// An operator may have paused it while this goes on.
void CatchUp::refuse_if_paused()
{
    const query::LatestSnapshot snapshot;
    const std::optional<query::catalog::QueryRow> now = query::catalog::find_query(query.name);
    if (now && now->paused_at)
        throw pg::Error(pg::sqlstate::paused_or_gated, "query " + pg::shown(query.name) + " is paused")
            .hint("readmodel.resume() lets it go on.");
}

// The query's generations that can be moved, where they stand now. False: none.
bool CatchUp::load()
{
    lane.reset();
    source::begin_loading();
    as_engine(
        [&]
        {
            const pg::FreshSnapshot snapshot;
            std::vector<query::Generation> all = query::load_generations();
            std::optional<source::EventSource> now;
            for (source::EventSource &source : source::load_sources())
                if (source.id == query.source_id)
                    now = std::move(source);
            // Definitions are compared with the mapping that the catalog has now: that is what the events are to be read by.
            if (!now || (config && !read_alike(*now, *config)))
            {
                config.reset();
                settled.reset();
            }
            if (!config)
            {
                config = std::move(now);
                if (!config)
                    throw pg::Error(ERRCODE_UNDEFINED_OBJECT,
                                    "the source of query " + pg::shown(query.name) + " is gone");
                if (config->restored)
                    throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                                    "source " + pg::shown(config->name) + " was restored and is not adopted yet")
                        .hint(
                            "The tail worker adopts it once everything is restored; status() says what it waits for.");
                if (const std::optional<pg::Error> fault = source::check_source(*config))
                    throw pg::Error(*fault);
                // Nobody is told of our own locks: a number that this transaction has drawn would look dead.
                if (OidIsValid(config->sequence) && pg::holds_lock(config->sequence, RowExclusiveLock))
                    throw pg::Error(ERRCODE_ACTIVE_SQL_TRANSACTION,
                                    "catch_up cannot run in a transaction that has drawn a position of its source")
                        .detail("It could not tell its own open events from settled ones.")
                        .hint("Commit first.");
                witness = std::make_unique<source::LockWitness>(*config, source::LockWitness::Observer::session);
                if (OidIsValid(config->sequence))
                    target = pg::sequence_last_drawn(config->sequence);
            }
            lane = std::make_unique<Lane>(*config);
            MaybePosition edge;
            bool split = false;
            for (query::Generation &generation : all)
            {
                if (generation.query_id != query.id || generation.failed ||
                    (generation.phase != query::Phase::rebuilding && generation.phase != query::Phase::live))
                    continue;
                // An older one that cannot go on stands still; the newest one says why.
                const bool older = !generation.newest;
                if (const std::optional<pg::Error> fault = query::check_generation(generation, *config))
                {
                    if (older)
                        continue;
                    throw pg::Error(*fault);
                }
                if (!generation.shares.empty())
                {
                    split = true; // its lanes' alone
                    continue;
                }
                // Accepted first, compared then: what is replaced in between is noticed here or before the fold.
                Member &member = lane->add(std::move(generation));
                member.fold.accept_updater();
                const bool unchanged = query::definition_unchanged(member.generation);
                if (!unchanged && older)
                {
                    lane->remove(member.generation.id);
                    continue;
                }
                if (!unchanged)
                    throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                                    "the updater of query " + pg::shown(query.name) + " was changed")
                        .hint("Call readmodel.define_query() again, which starts a new generation.");
                if (source::before(edge, member.stored))
                    edge = member.stored;
            }
            if (split && lane->empty())
                throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                                "query " + pg::shown(query.name) + " is rebuilt by several lanes")
                    .detail("Each of them folds a part of the instances; a session cannot do their work.")
                    .hint("Call it again when they are done: readmodel.status() shows how far they are. Where no "
                          "worker can do it, "
                          "define the query with the option \"parallel\" at 1, and call readmodel.rebuild().");
            std::vector<Oid> watched = pg::inheritors(config->events);
            for (const auto &member : lane->members())
                watched.push_back(member->generation.state_table);
            source::watch(watched);
            if (!settled)
                settled = source::SettledPosition(edge);
        });
    return !lane->empty();
}

// True when everything that was settled is applied.
bool CatchUp::batch()
{
    Lane::Page page;
    as_engine(
        [&]
        {
            if (OidIsValid(config->sequence) && settled->edge() &&
                pg::sequence_last_drawn(config->sequence) < *settled->edge())
                throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                                "the sequence of source " + pg::shown(config->name) + " went backwards")
                    .hint("Rebuild the query, once the events and the sequence are as they should be.");
            FAULT_POINT(before_read);
            refuse_if_paused();
            page = lane->fold_settled(*settled, *witness, settings::batch_size);
            lane->flush(page.caught_up);
        });
    FAULT_POINT(before_commit);
    pg::call([] { SPI_commit(); });
    FAULT_POINT(after_commit);
    lane->committed(false);
    FAULT_POINT(before_publish);
    announce(page.caught_up);
    const MaybePosition cursor = lane->cursor();
    return page.caught_up || (target && cursor && *cursor >= *target);
}

// Where no tail worker lives this session counts as the one that moves the query, as long as it runs.
void CatchUp::announce(bool caught_up)
{
    if (!shared())
        return;
    if (database_health().tail_alive)
    {
        for (const auto &member : lane->members())
            count_batches(*member);
        ConditionVariableBroadcast(&shared()->progress);
        return;
    }
    for (const auto &member : lane->members())
    {
        member->reached |= caught_up && !query::awaits_takeover(member->generation);
        const std::optional<GenerationSlot> slot = generation_snapshot(member->generation.id);
        publish(*member, slot ? slot->assignment : Assignment::none);
    }
}

CatchUp::~CatchUp()
{
    if (!shared())
        return;
    const SharedLock lock(LW_EXCLUSIVE);
    for (GenerationSlot &slot : shared()->generations)
        if (slot.database == MyDatabaseId && slot.worker_pid == MyProcPid)
            slot.worker_pid = 0;
}

// A generation was stopped by what another try may not meet, as a worker would try it again. Everything before it is committed.
bool CatchUp::wait_to_try_again()
{
    const auto transient = [](const auto &member)
    {
        return member->stop && (member->stop->kind == query::FoldStop::Kind::transient ||
                                member->stop->kind == query::FoldStop::Kind::locked);
    };
    const auto &members = lane->members();
    if (std::none_of(members.begin(), members.end(), transient))
    {
        failures = 0;
        return false;
    }
    // One that has failed for good is told at once.
    if (failures == most_retries ||
        std::any_of(members.begin(), members.end(), [](const auto &m) { return m->failed; }))
        return false;
    const TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), first_retry_ms << failures);
    failures++;
    for (long left; (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0;)
        wait_on_latch(left);
    return true;
}

void CatchUp::raise_failures()
{
    for (const auto &member : lane->members())
        if (member->stop)
            throw pg::Error(member->failed ? ERRCODE_EXTERNAL_ROUTINE_EXCEPTION : ERRCODE_T_R_SERIALIZATION_FAILURE,
                            "query " + pg::shown(query.name) + " could not apply the event at position " +
                                std::to_string(member->stop->position))
                .detail(member->stop->sqlstate + ": " + member->stop->message +
                        (member->stop->log_detail.empty() ? "" : ". " + member->stop->log_detail))
                .hint("Everything before that event is applied. " +
                      (member->failed ? advice_after(*member) : std::string("Call it again.")));
}

// A reader of the view, a worker that is at the same takeover, or a change of the older states' table since the preparation makes it
// fail.
void CatchUp::take_over(const Member &member)
{
    const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), settings::lock_timeout);
    for (int tries = 0;; tries++)
    {
        query::prepare_takeover(member.generation);
        FAULT_POINT(before_takeover);
        const std::optional<pg::PgError> error =
            pg::attempt(false,
                        [&]
                        {
                            const pg::FreshSnapshot snapshot;
                            query::take_over(member.generation, query::takeover_patience_ms(tries));
                        });
        if (!error)
            return;
        // A pause is not waited out, and is told as everywhere.
        refuse_if_paused();
        if (error->sqlstate() != ERRCODE_LOCK_NOT_AVAILABLE || GetCurrentTimestamp() >= deadline)
            throw pg::PgError(*error);
        wait_on_latch(10);
    }
}

void CatchUp::take_over()
{
    for (const auto &member : lane->members())
    {
        if (!query::awaits_takeover(member->generation))
            continue;
        as_engine(
            [&]
            {
                refuse_if_paused();
                pg::set_local("lock_timeout", std::to_string(settings::lock_timeout).c_str());
                take_over(*member);
            });
        announce_definitions();
        FAULT_POINT(before_takeover_commit);
        pg::call([] { SPI_commit(); });
        FAULT_POINT(after_takeover_commit);
    }
}

// What is in force may not be among what was caught up.
void CatchUp::tell_of_newest()
{
    as_engine(
        [&]
        {
            const query::LatestSnapshot snapshot;
            const std::optional<query::catalog::QueryRow> now = query::catalog::find_query(query.name);
            if (!now || now->id != query.id)
                return;
            query::Readable newest{query::wanted_generation(query::server_facts(), *now, std::nullopt), {}};
            if (newest.generation.phase == query::Phase::gated)
                pg::log(NOTICE,
                        "generation " + std::to_string(newest.generation.number) + " of query " +
                            pg::shown(query.name) + " waits for an operator's decision",
                        "", "Call readmodel.approve() or readmodel.reject().");
            else if (query::catalog::failure_of(newest.generation.id))
            {
                newest.standing = query::standing_of(query::server_facts(), *now, newest.generation);
                throw query::not_readable(*now, newest);
            }
        });
}

// Scopes leave their snapshots to the rollback when an exception passes, but a rollback in a procedure accepts no snapshots
// besides its portal's. `before`: the active one outside of those scopes, nullptr if there was none.
void roll_back_to(Snapshot before)
{
    pg::call(
        [&]
        {
            while (ActiveSnapshotSet() && GetActiveSnapshot() != before)
                PopActiveSnapshot();
            SPI_rollback();
        });
}

void CatchUp::run()
{
    const pg::Spi spi(true);
    for (bool done = false; !done;)
    {
        pg::check_for_interrupts();
        if (!lane && !load())
            break;
        const Snapshot before = pg::call([] { return ActiveSnapshotSet() ? GetActiveSnapshot() : nullptr; });
        try
        {
            done = batch();
        }
        catch (const Lane::LostCheckpoint &)
        {
            // A worker was faster: begin again where it stands now.
            lane.reset();
        }
        catch (const Lane::SourceChanged &)
        {
            lane.reset();
            config.reset();
            settled.reset();
        }
        catch (const Lane::UpdaterChanged &)
        {
            lane.reset(); // load() says what is wrong
        }
        if (!lane)
        {
            roll_back_to(before);
            continue;
        }
        if (wait_to_try_again())
        {
            lane.reset();
            done = false;
            continue;
        }
        raise_failures();
    }
    if (lane)
        take_over();
    tell_of_newest();
}

Datum catch_up(FunctionCallInfo fcinfo)
{
    if (PG_ARGISNULL(0))
        throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "the name of a query must not be null");
    const auto *const context = reinterpret_cast<const CallContext *>(fcinfo->context);
    if (!context || !IsA(context, CallContext) || context->atomic)
        throw pg::Error(ERRCODE_ACTIVE_SQL_TRANSACTION, "catch_up cannot run inside a transaction block")
            .detail("It commits after every batch.")
            .hint("Call it on its own.");
    if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
        throw pg::Error(ERRCODE_ACTIVE_SQL_TRANSACTION,
                        "catch_up cannot run in a transaction that has written something")
            .detail("It could not tell its own open events from settled ones.")
            .hint("Commit first.");
    if (IsolationUsesXactSnapshot())
        throw pg::Error(ERRCODE_FEATURE_NOT_SUPPORTED, "catch_up needs the isolation level READ COMMITTED")
            .hint("Set default_transaction_isolation to \"read committed\" in this session.");
    CatchUp(query::require_own_query(pg::text_of(PG_GETARG_DATUM(0)))).run();
    PG_RETURN_VOID();
}

} // namespace

} // namespace worker

READMODEL_FUNCTION(readmodel_catch_up, worker::catch_up);
