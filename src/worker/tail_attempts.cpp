// Generations whose fold has ended its process or the server, as in_hand.hpp tells: the third time in a row they fail.

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/attempt.hpp"
#include "worker/in_hand.hpp"
#include "worker/tail_worker.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

std::string times(int attempts)
{
    return attempts == 1 ? "once" : std::to_string(attempts) + " times in a row";
}

std::string told(const LeftInHand &left, int attempts)
{
    return (left.crashed ? "the server crashed " : "its worker was ended ") + times(attempts) +
           " while this query was folded";
}

void record_failure(const LeftInHand &left, int attempts)
{
    for (const int32 id : query::that_would_end_alike(left.generation_id, left.position))
    {
        query::record_failure(id, "updater_error", left.position, "58000", told(left, attempts));
        query::forget_attempts(id);
    }
}

void log_attempt(const std::vector<query::Generation> &generations, const LeftInHand &left, int attempts)
{
    const auto found = std::find_if(generations.begin(), generations.end(),
                                    [&](const query::Generation &g) { return g.id == left.generation_id; });
    if (found == generations.end())
        return;
    const bool failed = attempts >= query::most_attempts;
    pg::log(WARNING,
            (left.crashed ? "the server crashed" : "a worker was ended") + std::string(" while it folded query ") +
                pg::shown(found->query_name),
            "Generation " + std::to_string(found->number) +
                (left.position ? ", position " + std::to_string(*left.position) : "") + ", " + times(attempts) + ". " +
                (failed ? "The query has failed." : "It is tried again."),
            failed ? "Define the query with another updater, or mend the cause and call readmodel.retry()." : "");
}

} // namespace

// Before anybody gets a lane, and not to be lost with the next crash.
void TailWorker::count_attempts()
{
    const std::vector<LeftInHand> all = left_in_hand(MyDatabaseId);
    if (all.empty() && !attempts_unknown)
        return;
    process.report("looking after a crash");
    std::vector<std::pair<LeftInHand, int>> counted;
    std::vector<query::Generation> known;
    {
        pg::Transaction transaction;
        process.enter_transaction();
        // Until the transaction ends.
        pg::call(
            [] {
                (void)set_config_option("synchronous_commit", "on", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
                                        false);
            });
        {
            const pg::FreshSnapshot snapshot;
            for (const LeftInHand &left : all)
                if (const std::optional<int> attempts = query::record_attempt(left.generation_id, left.position))
                {
                    if (*attempts >= query::most_attempts)
                        record_failure(left, *attempts);
                    counted.emplace_back(left, *attempts);
                }
        }
        {
            const pg::FreshSnapshot snapshot; // sees what was counted
            attempted = query::load_attempts();
            if (!counted.empty())
                known = query::load_generations();
        }
        transaction.commit();
    }
    attempts_unknown = false;
    for (const LeftInHand &left : all)
        forget_note(left.note);
    for (const auto &[left, attempts] : counted)
        log_attempt(known, left, attempts);
    if (!counted.empty())
        announce_now(); // a rebuild lane that has tried it meanwhile is to leave it
}

// Whoever has reached its target is past what it was tried at.
void TailWorker::forget_attempts(TailSource &tail)
{
    if (attempted.empty())
        return;
    for (const auto &member : tail.lane.members())
    {
        const auto found = std::find(attempted.begin(), attempted.end(), member->generation.id);
        if (!member->reached || found == attempted.end())
            continue;
        pg::Transaction transaction;
        process.enter_transaction();
        query::forget_attempts(member->generation.id);
        transaction.commit();
        attempted.erase(found);
    }
}

} // namespace worker
