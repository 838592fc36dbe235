#include "query/superseded.hpp"

#include "pg/locks.hpp"
#include "pg/log.hpp"
#include "query/known_generations.hpp"
#include "worker/wakeup.hpp"

namespace query
{

std::vector<const Generation *> beyond_kept(const std::vector<Generation> &generations)
{
    std::map<int32, std::vector<const Generation *>> superseded; // by query; live ones
    std::map<int32, int32> in_force;                             // by query: newest and serving at once
    for (const Generation &generation : generations)
    {
        if (generation.newest && generation.serving)
            in_force[generation.query_id] = generation.number;
        if (!generation.newest && !generation.serving && generation.phase == Phase::live)
            superseded[generation.query_id].push_back(&generation);
    }
    std::vector<const Generation *> beyond;
    for (auto &[query, found] : superseded)
    {
        std::sort(found.begin(), found.end(),
                  [](const Generation *a, const Generation *b) { return a->number > b->number; });
        const auto kept = static_cast<std::size_t>(found.front()->options.keep_generations);
        for (std::size_t i = kept; i < found.size(); i++)
            beyond.push_back(found[i]);
    }
    for (const Generation &generation : generations)
    {
        const bool unfinished = generation.phase == Phase::rebuilding || generation.phase == Phase::gated;
        if (const auto later = in_force.find(generation.query_id);
            later != in_force.end() && unfinished && generation.failed && generation.number < later->second)
            beyond.push_back(&generation);
    }
    return beyond;
}

namespace
{

// keep_generations may have been raised since the generations were loaded.
bool is_kept(const QueryRow &query, const KnownGenerations &known, int32 number)
{
    const auto newer = std::count_if(known.all().begin(), known.all().end(),
                                     [&](const KnownGeneration &generation)
                                     {
                                         return generation.phase == Phase::live && generation.number > number &&
                                                generation.number != query.newest && generation.number != query.serving;
                                     });
    const CatalogScope scope;
    return newer < pg::execute("SELECT coalesce(($1::jsonb ->> 'keep_generations')::integer, $2)",
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
    if (!query || query->id != generation.query_id || generation.number == query->newest ||
        generation.number == query->serving)
        return Dropping::none;
    const KnownGenerations known(*query);
    const KnownGeneration &now = known.numbered(generation.number);
    if (now.phase != generation.phase || (now.phase == Phase::live && is_kept(*query, known, generation.number)))
        return Dropping::none;
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
