// readmodel.readiness() and readmodel.ready(): what a probe calls.

#include "query/arguments.hpp"
#include "query/readiness.hpp"
#include "query/visibility.hpp"

namespace
{

using namespace query;

Datum readiness(FunctionCallInfo fcinfo)
{
    const catalog::QueryRow row = visible_query(text_argument(fcinfo, 0, "name"));
    const ServerFacts server = server_facts();
    const catalog::GenerationRow generation = wanted_generation(server, row, maybe_text_argument(fcinfo, 1));
    return pg::text_datum(name_of(standing_of(server, row, generation).status));
}

// All queries that the caller may see, or exactly these: what is unknown, or hidden from the caller, is not ready.
std::optional<std::vector<catalog::QueryRow>> asked_queries(FunctionCallInfo fcinfo)
{
    std::vector<catalog::QueryRow> rows;
    Viewer viewer;
    if (PG_ARGISNULL(0))
    {
        std::vector<catalog::QueryRow> all = catalog::all_queries();
        for (catalog::QueryRow &row : all)
            if (viewer.may_see(catalog::owner_of(row)))
                rows.push_back(std::move(row));
        // Who may see none of the queries that there are cannot vouch for them.
        if (rows.empty() && !all.empty())
            return std::nullopt;
        return rows;
    }
    ArrayType *const array = pg::call([&] { return PG_GETARG_ARRAYTYPE_P(0); });
    for (std::optional<catalog::QueryRow> &row : catalog::find_queries(texts_and_nulls_of(array)))
    {
        if (!row || !viewer.may_see(catalog::owner_of(*row)))
            return std::nullopt;
        rows.push_back(std::move(*row));
    }
    return rows;
}

Datum ready(FunctionCallInfo fcinfo)
{
    const std::optional<std::vector<catalog::QueryRow>> rows = asked_queries(fcinfo);
    if (!rows)
        return BoolGetDatum(false);
    const ServerFacts server = server_facts(rows->size());
    for (const catalog::QueryRow &row : *rows)
        if (!readable_generation(server, row).ready())
            return BoolGetDatum(false);
    return BoolGetDatum(true);
}

} // namespace

READMODEL_FUNCTION(readmodel_readiness, readiness);
READMODEL_FUNCTION(readmodel_ready, ready);
