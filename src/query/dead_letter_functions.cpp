// dead_letters, discard_dead_letter: the events that a query has passed over, and giving one up.

#include "pg/log.hpp"
#include "query/arguments.hpp"
#include "query/catalog.hpp"
#include "query/readiness.hpp"
#include "query/result_row.hpp"
#include "query/visibility.hpp"

namespace query
{

namespace
{

// In the order of the function's columns (schema/35-failures.sql).
enum Column
{
    column_generation,
    column_position,
    column_sqlstate,
    column_message,
    column_failed_at,
    column_count
};

Datum dead_letters(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const catalog::QueryRow query = visible_query(text_argument(fcinfo, 0, "name"));
    const bool with_messages = may_see_messages(catalog::owner_of(query));
    const CatalogScope scope;
    const pg::Rows rows =
        pg::execute("SELECT g.generation, d.position, d.sqlstate, d.message, d.failed_at"
                    "  FROM readmodel_catalog.dead_letter d JOIN readmodel_catalog.generation g USING (generation_id)"
                    " WHERE g.query_id = $1 AND g.generation IN ($2, $3) AND d.discarded_at IS NULL"
                    " ORDER BY g.generation, d.position",
                    pg::Args().integer(query.id).integer(query.newest).integer(query.serving), true);
    for (uint64 i = 0; i < rows.size(); i++)
    {
        ResultRow<column_count> row;
        row.set(column_generation, Int32GetDatum(*rows.integer(i, 1)));
        row.bigint(column_position, rows.bigint(i, 2));
        row.text(column_sqlstate, *rows.text(i, 3));
        if (with_messages)
            row.text(column_message, *rows.text(i, 4));
        row.set(column_failed_at, *rows.get(i, 5));
        row.put(fcinfo);
    }
    return 0;
}

Datum discard_dead_letter(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    require_argument(fcinfo, 1, "at_position");
    const int64 position = PG_GETARG_INT64(1);
    const QueryRow query = require_own_query(name);
    bool found = false;
    {
        const CatalogScope scope;
        found = !pg::execute("UPDATE readmodel_catalog.dead_letter d SET discarded_at = now()"
                             "  FROM readmodel_catalog.generation g"
                             " WHERE g.generation_id = d.generation_id AND g.query_id = $1 AND g.generation IN ($2, $3)"
                             "   AND d.position = $4 AND d.discarded_at IS NULL RETURNING 1",
                             pg::Args().integer(query.id).integer(query.newest).integer(query.serving).bigint(position))
                     .empty();
    }
    if (found)
        pg::log(NOTICE, "query " + pg::shown(name) + " gives up the event at position " + std::to_string(position),
                "It is not applied by the generations that are there; one that is built anew tries it again.");
    else
        pg::log(NOTICE, "query " + pg::shown(name) + " has no dead letter at position " + std::to_string(position));
    PG_RETURN_VOID();
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_dead_letters, query::dead_letters);
READMODEL_FUNCTION(readmodel_discard_dead_letter, query::discard_dead_letter);
