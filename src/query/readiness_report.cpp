// readmodel.readiness_report(): what probes ask for, of exactly these queries or of all. Less than status(): nothing here grows with the
// log, with the states or with how many instances there are.

#include "query/arguments.hpp"
#include "query/result_row.hpp"
#include "query/source_edges.hpp"
#include "query/visibility.hpp"

namespace
{

using namespace query;

// In the order of the function's columns (schema/45-http.sql).
enum Column
{
    column_name,
    column_status,
    column_reason,
    column_generation,
    column_definition_hash,
    column_position,
    column_lag,
    column_estimated_seconds_remaining,
    column_served,
    column_count
};

using Row = ResultRow<column_count>;

class Report
{
public:
    Report(FunctionCallInfo call, std::optional<std::string> wanted_hash)
        : fcinfo(call),
          hash(std::move(wanted_hash)),
          server(server_facts())
    {
    }

    // A name that nobody may know of, or no query has, or one without that definition: all the same to whoever asks.
    void unknown(const std::optional<std::string> &name)
    {
        Row row;
        if (name)
            row.text(column_name, *name);
        row.text(column_status, "unknown");
        row.put(fcinfo);
    }

    void add(const catalog::QueryRow &query)
    {
        const std::optional<catalog::GenerationRow> generation =
            hash ? catalog::find_generation(query.id, *hash) : catalog::find_generation(query.id, query.newest);
        if (!generation || !generation->has_states())
            return unknown(query.name);
        const Standing standing = standing_of(server, query, *generation);
        const std::optional<int64> lag = sources.lag(query.source_id, standing.position);
        Row row;
        row.text(column_name, query.name);
        row.text(column_status, name_of(standing.status));
        if (!standing.reason.empty())
            row.text(column_reason, standing.reason);
        row.set(column_generation, Int32GetDatum(generation->number));
        row.text(column_definition_hash, generation->definition_hash);
        row.bigint(column_position, standing.position);
        row.bigint(column_lag, lag);
        if (const std::optional<double> seconds = estimated_seconds(standing, lag))
            row.number(column_estimated_seconds_remaining, *seconds);
        if (standing.status == Status::ready)
            row.text(column_served, name_of(Status::ready));
        else if (const std::optional<Readable> stale =
                     stale_answer(server, query, *generation, standing, hash.has_value()))
            row.text(column_served, answered_as(*stale));
        row.put(fcinfo);
    }

private:
    FunctionCallInfo fcinfo;
    std::optional<std::string> hash;
    ServerFacts server;
    SourceEdges sources;
};

Datum readiness_report(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    Report report(fcinfo, maybe_text_argument(fcinfo, 1));
    if (PG_ARGISNULL(0))
    {
        const std::vector<catalog::QueryRow> all = catalog::all_queries();
        bool any = all.empty();
        for (const catalog::QueryRow &query : all)
            if (may_see(catalog::owner_of(query)))
            {
                report.add(query);
                any = true;
            }
        // No rows would say that nothing is in the way.
        if (!any)
            throw pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied to see any query")
                .hint("Call readmodel.grant_reader() for this role.");
        return 0;
    }
    ArrayType *const names = pg::call([&] { return PG_GETARG_ARRAYTYPE_P(0); });
    for (const std::optional<std::string> &name : texts_and_nulls_of(names))
    {
        const std::optional<catalog::QueryRow> query = name ? catalog::find_query(*name) : std::nullopt;
        if (query && may_see(catalog::owner_of(*query)))
            report.add(*query);
        else
            report.unknown(name);
    }
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_readiness_report, readiness_report);
