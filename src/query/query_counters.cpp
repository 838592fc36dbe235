// readmodel.query_counters(): the numbers of each query that status() does not have, for metrics.

#include "query/readiness.hpp"
#include "query/result_row.hpp"
#include "query/visibility.hpp"

namespace
{

using namespace query;

// In the order of the function's columns (schema/45-http.sql).
enum Column
{
    column_name,
    column_generation,
    column_dead_letters,
    column_failures,
    column_batches,
    column_events_applied,
    column_events_replayed,
    column_rebuild_seconds,
    column_count
};

using Row = ResultRow<column_count>;

// Of all generations of the query that the catalog remembers, so that it does not fall when a definition is replaced.
struct SinceStart
{
    int64 failures = 0;
    int64 batches = 0;
};

SinceStart since_start(const std::vector<catalog::GenerationRow> &generations)
{
    SinceStart sum;
    for (const catalog::GenerationRow &generation : generations)
        if (const std::optional<worker::GenerationSlot> slot = worker::generation_snapshot(generation.id))
        {
            sum.failures += slot->failures;
            sum.batches += slot->batches;
        }
    return sum;
}

// Until it became live, failed, or now. Nothing: no lane has taken it up yet.
std::optional<double> rebuild_seconds(const Survey &survey, const catalog::GenerationRow &generation)
{
    if (!generation.rebuild_started_at)
        return std::nullopt;
    TimestampTz end = GetCurrentTimestamp();
    if (generation.ready_at)
        end = *generation.ready_at;
    else if (const std::optional<catalog::FailureRow> failure = survey.failure(generation.id);
             failure && failure->failed_at)
        end = *failure->failed_at;
    return static_cast<double>(std::max<int64>(0, end - *generation.rebuild_started_at)) / USECS_PER_SEC;
}

void put_row(FunctionCallInfo fcinfo, const Survey &survey, const catalog::QueryRow &query)
{
    const std::vector<catalog::GenerationRow> generations = survey.generations(query.id);
    const auto newest = std::find_if(generations.begin(), generations.end(),
                                     [&](const auto &generation) { return generation.number == query.newest; });
    if (newest == generations.end())
        return;
    int64 dead_letters = 0;
    for (const catalog::GenerationRow &generation : generations)
        if (generation.number == query.newest || generation.number == query.serving)
            dead_letters += catalog::count_dead_letters(generation.id);
    const int64 events_applied = survey.checkpoint(newest->id).events_applied;

    Row row;
    row.text(column_name, query.name);
    row.set(column_generation, Int32GetDatum(newest->number));
    row.bigint(column_dead_letters, dead_letters);
    // Nobody counts on a standby, nor without preloading.
    if (!RecoveryInProgress() && worker::shared())
    {
        const SinceStart sum = since_start(generations);
        row.bigint(column_failures, sum.failures);
        row.bigint(column_batches, sum.batches);
    }
    row.bigint(column_events_applied, events_applied);
    row.bigint(column_events_replayed, newest->phase == Phase::live ? newest->events_replayed : events_applied);
    if (const std::optional<double> seconds = rebuild_seconds(survey, *newest))
        row.number(column_rebuild_seconds, *seconds);
    row.put(fcinfo);
}

Datum query_counters(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const std::vector<catalog::QueryRow> queries = catalog::all_queries();
    const Survey survey(queries.size());
    Viewer viewer;
    for (const catalog::QueryRow &query : queries)
        if (viewer.may_see(catalog::owner_of(query)))
            put_row(fcinfo, survey, query);
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_query_counters, query_counters);
