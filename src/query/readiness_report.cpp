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
    column_served_generation,
    column_served_definition_hash,
    column_count
};

using Row = ResultRow<column_count>;

class Report
{
public:
    Report(FunctionCallInfo call, size_t queries)
        : fcinfo(call),
          hash(maybe_text_argument(call, 1)),
          only_unserved(!call->args[2].isnull && DatumGetBool(call->args[2].value)),
          server(server_facts(queries))
    {
    }

    // A name that no query has and one that the caller may not know of are all the same to him.
    void add(const std::optional<std::string> &name, const std::optional<catalog::QueryRow> &query)
    {
        if (query && viewer.may_see(catalog::owner_of(*query)))
            add(*query);
        else if (may_see_all())
            put(name, "unknown", "query");
        else
            put(name, "hidden");
    }

    void add_all(const std::vector<catalog::QueryRow> &queries)
    {
        bool hidden = false;
        for (const catalog::QueryRow &query : queries)
        {
            if (viewer.may_see(catalog::owner_of(query)))
                add(query);
            else
                hidden = true;
        }
        // Without this row nothing would seem to be in the way.
        if (hidden)
            put(std::nullopt, "hidden");
    }

private:
    void put(const std::optional<std::string> &name, std::string_view status, std::string_view reason = {})
    {
        Row row;
        if (name)
            row.text(column_name, *name);
        row.text(column_status, status);
        if (!reason.empty())
            row.text(column_reason, reason);
        row.put(fcinfo);
    }

    void add(const catalog::QueryRow &query)
    {
        const std::optional<catalog::GenerationRow> generation = find_wanted_generation(server, query, hash);
        if (!generation)
            return put(query.name, "unknown", "definition_hash");
        const Standing standing = standing_of(server, query, *generation);
        std::optional<Readable> stale;
        if (standing.status != Status::ready)
            stale = stale_answer(server, query, *generation, standing, hash.has_value());
        if (only_unserved && (standing.status == Status::ready || stale))
            return; // before anybody looks into an event table
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
            serves(row, name_of(Status::ready), *generation);
        else if (stale)
            serves(row, answered_as(*stale), stale->generation);
        row.put(fcinfo);
    }

    static void serves(Row &row, std::string_view as, const catalog::GenerationRow &generation)
    {
        row.text(column_served, as);
        row.set(column_served_generation, Int32GetDatum(generation.number));
        row.text(column_served_definition_hash, generation.definition_hash);
    }

    FunctionCallInfo fcinfo;
    std::optional<std::string> hash;
    bool only_unserved;
    ServerFacts server;
    Viewer viewer;
    SourceEdges sources;
};

Datum readiness_report(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    if (PG_ARGISNULL(0))
    {
        const std::vector<catalog::QueryRow> all = catalog::all_queries();
        Report(fcinfo, all.size()).add_all(all);
        return 0;
    }
    ArrayType *const array = pg::call([&] { return PG_GETARG_ARRAYTYPE_P(0); });
    const std::vector<std::optional<std::string>> names = texts_and_nulls_of(array);
    const std::vector<std::optional<catalog::QueryRow>> queries = catalog::find_queries(names);
    Report report(fcinfo, names.size());
    for (size_t i = 0; i < names.size(); i++)
        report.add(names[i], queries[i]);
    return 0;
}

} // namespace

READMODEL_FUNCTION(readmodel_readiness_report, readiness_report);
