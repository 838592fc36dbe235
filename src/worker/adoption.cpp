#include "worker/adoption.hpp"

#include "pg/locks.hpp"
#include "pg/spi.hpp"

namespace worker
{

namespace
{

bool has_primary_key(Oid table)
{
    return pg::call(
        [&]
        {
            const Relation relation = try_relation_open(table, AccessShareLock);
            if (!relation)
                return false;
            const Oid key = RelationGetPrimaryKeyIndex(relation);
            relation_close(relation, NoLock);
            return OidIsValid(key);
        });
}

pg::Error missing(const source::EventSource &source, const std::string &what)
{
    return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                     "source " + pg::shown(source.name) + " is being restored: " + what);
}

// The jobs of a parallel pg_restore load the catalog's tables in any order, each in its own transaction, and may do so after events,
// states and keys. Tables of states are made before any rows are loaded.
std::optional<std::string> missing_from_catalog(int32 source_id)
{
    const pg::Rows rows = pg::execute(
        "SELECT what FROM (SELECT 1, 'generation ' || wanted || ' of query \"' || q.name || '\" is not there yet'"
        "    FROM readmodel_catalog.query q, LATERAL (VALUES (q.newest), (q.serving)) number(wanted)"
        "   WHERE q.source_id = $1 AND NOT EXISTS (SELECT FROM readmodel_catalog.generation g"
        "                                           WHERE g.query_id = q.query_id AND g.generation = wanted)"
        "  UNION ALL SELECT 2, 'the query of table ' || g.state_table::text || ' is not there yet'"
        "    FROM readmodel_catalog.generation g"
        "   WHERE NOT EXISTS (SELECT FROM readmodel_catalog.query q WHERE q.query_id = g.query_id)"
        "  UNION ALL SELECT 3, 'the checkpoint of table ' || g.state_table::text || ' is not there yet'"
        "    FROM readmodel_catalog.generation g LEFT JOIN readmodel_catalog.checkpoint c USING (generation_id)"
        "   WHERE g.state_table IS NOT NULL AND (c.generation_id IS NULL OR c.shares > 1 AND c.shares <>"
        "           (SELECT count(*) FROM readmodel_catalog.share s WHERE s.generation_id = g.generation_id))"
        "  UNION ALL SELECT 4, 'the generation of table ' || t.oid::regclass::text || ' is not there yet'"
        "    FROM pg_class t"
        "   WHERE t.relnamespace = to_regnamespace('readmodel_data') AND t.relkind = 'r' AND t.relname ~ "
        "'^[ag]_[0-9]+$'"
        "     AND NOT EXISTS (SELECT FROM readmodel_catalog.generation g WHERE t.oid IN (g.state_table, g.alias_table))"
        // Failures and dead letters leave no trace elsewhere that would tell that they are to come.
        "  UNION ALL SELECT 5, 'process ' || a.pid || ' (pg_restore) is at work' FROM pg_stat_get_activity(NULL) a"
        "   WHERE a.application_name = 'pg_restore'"
        "     AND a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
        ") missing(rank, what) ORDER BY rank, what LIMIT 1",
        pg::Args().integer(source_id), true);
    return rows.empty() ? std::nullopt : rows.text(0, 1);
}

} // namespace

std::optional<pg::Error> adopt_restored(const source::EventSource &source,
                                        const std::vector<query::Generation> &generations)
{
    if (std::optional<pg::Error> fault = source::check_source(source))
        return missing(source, fault->message_text);
    source::MaybePosition furthest;
    for (const query::Generation &generation : generations)
    {
        if (generation.source_id != source.id)
            continue;
        if (!OidIsValid(generation.state_table) || !has_primary_key(generation.state_table))
            return missing(source,
                           "the states of query " + pg::shown(generation.query_name) + " have no primary key yet");
        if (OidIsValid(generation.alias_table) && !has_primary_key(generation.alias_table))
            return missing(source,
                           "the aliases of query " + pg::shown(generation.query_name) + " have no primary key yet");
        if (source::before(furthest, generation.relied_on()))
            furthest = generation.relied_on();
    }
    if (OidIsValid(source.sequence) && furthest && pg::sequence_last_drawn(source.sequence) < *furthest)
        return missing(source, "its sequence is behind the checkpoints");

    const pg::Spi spi;
    if (const std::optional<std::string> what = missing_from_catalog(source.id))
        return missing(source, *what);
    pg::Args args;
    args.integer(source.id).text(source::source_stamp(source.events));
    pg::execute("UPDATE readmodel_catalog.source SET stamp = $2 WHERE source_id = $1", args);
    return std::nullopt;
}

} // namespace worker
