#include "query/superseded.hpp"

#include "pg/locks.hpp"
#include "pg/log.hpp"
#include "query/known_generations.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

// What of a generation decides whether it is kept.
struct Candidate
{
    int32 number;
    Phase phase;
    bool failed;
};

// The numbers of those that are not, of one query's generations in the order of their numbers.
std::set<int32> not_kept(const std::vector<Candidate> &all, int32 newest, int32 serving, int keep)
{
    std::vector<int32> live;  // superseded
    std::vector<int32> ahead; // left half built when an older one came into force again
    std::set<int32> beyond;
    for (const Candidate &one : all)
    {
        const bool unfinished = one.phase == Phase::rebuilding || one.phase == Phase::gated;
        if (one.number == newest || one.number == serving)
            continue;
        if (one.phase == Phase::live)
            live.push_back(one.number);
        else if (unfinished && one.failed && newest == serving && one.number < newest)
            beyond.insert(one.number);
        else if (unfinished && one.failed && newest == serving)
            ahead.push_back(one.number);
    }
    for (const std::vector<int32> &numbers : {live, ahead})
        if (numbers.size() > static_cast<size_t>(keep))
            beyond.insert(numbers.begin(), numbers.end() - keep);
    return beyond;
}

} // namespace

std::vector<const Generation *> beyond_kept(const std::vector<Generation> &generations)
{
    std::map<int32, std::vector<const Generation *>> queries;
    for (const Generation &generation : generations)
        queries[generation.query_id].push_back(&generation);
    std::vector<const Generation *> beyond;
    for (auto &[query, all] : queries)
    {
        std::sort(all.begin(), all.end(),
                  [](const Generation *a, const Generation *b) { return a->number < b->number; });
        std::vector<Candidate> candidates;
        int32 newest = 0;
        int32 serving = 0;
        for (const Generation *const generation : all)
        {
            candidates.push_back({generation->number, generation->phase, generation->failed});
            if (generation->newest)
                newest = generation->number;
            if (generation->serving)
                serving = generation->number;
        }
        const std::set<int32> numbers = not_kept(candidates, newest, serving, all.front()->options.keep_generations);
        std::copy_if(all.begin(), all.end(), std::back_inserter(beyond),
                     [&](const Generation *generation) { return numbers.contains(generation->number); });
    }
    return beyond;
}

namespace
{

int keep_generations(const QueryRow &query)
{
    const CatalogScope scope;
    return pg::execute("SELECT coalesce(($1::jsonb ->> 'keep_generations')::integer, $2)",
                       pg::Args().text(query.options).integer(LaneOptions().keep_generations), true)
        .integer(0, 1)
        .value();
}

} // namespace

Dropping drop_superseded(const Generation &generation)
{
    if (!try_lock_query_name(generation.query_name))
        return Dropping::busy;
    const std::optional<QueryRow> query = find_query(generation.query_name);
    if (!query || query->id != generation.query_id)
        return Dropping::none;
    // Since the generations were loaded an operator may have chosen another, or keep_generations may have been raised.
    const KnownGenerations known(*query);
    std::vector<Candidate> candidates;
    for (const KnownGeneration &one : known.all())
        candidates.push_back({one.number, one.phase, one.failure.has_value()});
    if (!not_kept(candidates, query->newest, query->serving, keep_generations(*query)).contains(generation.number))
        return Dropping::none;
    const KnownGeneration &now = known.numbered(generation.number);
    for (const Oid table : {now.state_table, now.alias_table})
        if (OidIsValid(table) && pg::try_lock(table, AccessExclusiveLock) == pg::LockAttempt::busy)
            return Dropping::busy;
    {
        const pg::AsUser owner(query->owner, true);
        forget_states(*query, now, Phase::dropped, false);
    }
    pg::log(LOG, "generation " + std::to_string(generation.number) + " of query " + pg::shown(generation.query_name) +
                     " was dropped");
    worker::announce_definitions();
    return Dropping::done;
}

} // namespace query
