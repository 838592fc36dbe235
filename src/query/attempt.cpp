#include "query/attempt.hpp"

#include "query/catalog.hpp"

namespace query
{

std::optional<int> record_attempt(int32 generation_id, const source::MaybePosition &position)
{
    const CatalogScope scope;
    // Nothing is recorded for a generation that is being dropped.
    const pg::Rows rows = pg::execute(
        "INSERT INTO readmodel_catalog.attempt AS a (generation_id, attempts, progress, position)"
        " SELECT generation_id, 1, coalesce(c.position, (SELECT sum(s.position) FROM readmodel_catalog.share s"
        "                                                 WHERE s.generation_id = c.generation_id)), $2"
        "   FROM readmodel_catalog.checkpoint c JOIN readmodel_catalog.generation g USING (generation_id)"
        "  WHERE generation_id = $1 FOR KEY SHARE OF g"
        " ON CONFLICT (generation_id) DO UPDATE"
        "    SET attempts = CASE WHEN a.progress IS NOT DISTINCT FROM excluded.progress THEN a.attempts + 1 ELSE 1 END,"
        "        progress = excluded.progress, position = excluded.position, ended_at = now()"
        " RETURNING attempts",
        pg::Args().integer(generation_id).bigint(position));
    return rows.empty() ? std::nullopt : rows.integer(0, 1);
}

namespace
{

std::vector<int32> ids_of(const pg::Rows &rows)
{
    std::vector<int32> ids;
    for (uint64 row = 0; row < rows.size(); row++)
        ids.push_back(*rows.integer(row, 1));
    return ids;
}

} // namespace

std::vector<int32> that_would_end_alike(int32 generation_id, const source::MaybePosition &position)
{
    const CatalogScope scope;
    return ids_of(pg::execute("SELECT other.generation_id FROM readmodel_catalog.generation g"
                              "  JOIN readmodel_catalog.generation other USING (query_id, definition_hash)"
                              "  JOIN readmodel_catalog.checkpoint c ON c.generation_id = other.generation_id"
                              " WHERE g.generation_id = $1 AND other.phase IN ('rebuilding', 'live')"
                              "   AND (other.generation_id = $1 OR c.position IS NULL OR c.position < $2)",
                              pg::Args().integer(generation_id).bigint(position), true));
}

std::vector<int32> load_attempts()
{
    const CatalogScope scope;
    return ids_of(pg::execute("SELECT generation_id FROM readmodel_catalog.attempt", {}, true));
}

void forget_attempts(int32 generation_id)
{
    const CatalogScope scope;
    pg::execute("DELETE FROM readmodel_catalog.attempt WHERE generation_id = $1", pg::Args().integer(generation_id));
}

} // namespace query
