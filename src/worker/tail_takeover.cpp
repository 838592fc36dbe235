// When a generation that the tail lane has built becomes the one that its query's view shows; what that is: query/takeover.hpp.
#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/carry_over.hpp"
#include "query/takeover.hpp"
#include "worker/faults.hpp"
#include "worker/publish.hpp"
#include "worker/tail_worker.hpp"

namespace worker
{

namespace
{

// A takeover that has waited for the view's readers, and others behind it, leaves them in peace for that many times as long.
constexpr long takeover_rest = 10;

} // namespace

// For the status: whose lock is in the way, and on what, or else the error.
void TailWorker::tell_of_wait(const Member &member, const pg::Failure &error)
{
    int pid = 0;
    std::string what(error.text());
    try
    {
        pg::Transaction transaction;
        process.enter_transaction();
        {
            const pg::FreshSnapshot snapshot;
            const query::TakeoverBlocker blocker = query::takeover_blocker(member.generation);
            pid = blocker.pid;
            if (pid != 0)
                what = "for its lock on " + pg::relation_name(blocker.relation);
        }
        transaction.commit();
    }
    catch (const pg::Failure &)
    {
        // What was in the way is gone: the next look tells.
    }
    publish_block(member.generation.id, Block::takeover, pid, what);
}

// The next look tries again. A reader of the view or a define_query in progress is ordinary; else what the takeover depends on was
// changed or dropped.
bool TailWorker::take_over_failed(Member &member, const pg::Failure &error)
{
    if (query::is_transient(error.code()))
    {
        member.takeover_error.clear();
        member.takeover_at = in_ms(takeover_rest * query::takeover_patience_ms(member.takeover_tries++));
        member.takeover_told =
            error.code() == ERRCODE_LOCK_NOT_AVAILABLE && member.takeover_tries > query::tries_without_waiting;
        if (member.takeover_told)
            tell_of_wait(member, error);
        return false;
    }
    const Block block = block_of(error.code());
    // Which objects: names alone. Other errors' details can quote data.
    const std::string_view details = block == Block::dependents ? error.more() : std::string_view();
    const std::string told = std::string(error.text()) + (details.empty() ? "" : ". ") + std::string(details);
    if (member.takeover_error != told)
        pg::log(WARNING,
                "query " + pg::shown(member.generation.query_name) + " could not take over generation " +
                    std::to_string(member.generation.number) + ": " + std::string(error.text()),
                std::string(details) + (details.empty() ? "" : " ") + "SQLSTATE " + error.code_text() +
                    ". It is tried again.");
    member.takeover_error = told;
    publish_block(member.generation.id, block, 0, details.empty() ? error.text() : details);
    if (reload_at == 0) // each look comes here: do not put it off
        reload_at = in_ms(1000);
    return false;
}

// False: a reader of the view is in the way; try again soon.
bool TailWorker::take_over(Member &member)
{
    if (GetCurrentTimestamp() < member.takeover_at)
        return false;
    try
    {
        {
            // What a rebuild lane hands over is prepared, but for what its predecessor was given since; what was always in the tail has
            // few states.
            pg::Transaction transaction;
            process.enter_transaction();
            {
                const pg::FreshSnapshot snapshot;
                query::prepare_takeover(member.generation);
            }
            transaction.commit();
        }
        pg::Transaction transaction;
        process.enter_transaction();
        FAULT_POINT(before_takeover);
        {
            const pg::FreshSnapshot snapshot;
            query::take_over(member.generation, query::takeover_patience_ms(member.takeover_tries));
        }
        FAULT_POINT(before_takeover_commit);
        transaction.commit();
        FAULT_POINT(after_takeover_commit);
    }
    catch (const pg::Failure &error)
    {
        return take_over_failed(member, error);
    }
    member.takeover_error.clear();
    member.takeover_tries = 0;
    member.generation.phase = query::Phase::live;
    member.generation.serving |= member.generation.newest;
    pg::log(LOG, "query " + pg::shown(member.generation.query_name) + " is ready, generation " +
                     std::to_string(member.generation.number));
    return true;
}

} // namespace worker
