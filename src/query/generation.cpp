#include "query/generation.hpp"

#include "query/catalog.hpp"
#include "query/new_generation.hpp"
#include "worker/wakeup.hpp"

namespace query
{

Oid type_oid(KeyType type)
{
    switch (type)
    {
    case KeyType::text:
        return TEXTOID;
    case KeyType::uuid:
        return UUIDOID;
    case KeyType::bigint:
        break;
    }
    return INT8OID;
}

Oid array_type_oid(KeyType type)
{
    switch (type)
    {
    case KeyType::text:
        return TEXTARRAYOID;
    case KeyType::uuid:
        return UUIDARRAYOID;
    case KeyType::bigint:
        break;
    }
    return INT8ARRAYOID;
}

Phase phase_named(const std::string &name)
{
    if (name == "gated")
        return Phase::gated;
    if (name == "rejected")
        return Phase::rejected;
    if (name == "rebuilding")
        return Phase::rebuilding;
    if (name == "live")
        return Phase::live;
    if (name == "dropped")
        return Phase::dropped;
    throw pg::Error(ERRCODE_DATA_CORRUPTED, "unrecognized phase " + pg::shown(name));
}

const char *name_of(Phase phase)
{
    switch (phase)
    {
    case Phase::gated:
        return "gated";
    case Phase::rejected:
        return "rejected";
    case Phase::rebuilding:
        return "rebuilding";
    case Phase::live:
        return "live";
    case Phase::dropped:
        break;
    }
    return "dropped";
}

MaybePosition Generation::furthest() const
{
    MaybePosition position = checkpoint;
    for (const Share &share : shares)
        if (source::before(position, share.position))
            position = share.position;
    return position;
}

MaybePosition Generation::relied_on() const
{
    MaybePosition position = furthest();
    for (const Share &share : shares)
        if (source::before(position, share.up_to))
            position = share.up_to;
    return position;
}

const Share *Generation::unfinished_share(int number) const
{
    for (const Share &share : shares)
        if (share.number == number && !share.finished)
            return &share;
    return nullptr;
}

std::vector<Generation> load_generations()
{
    const CatalogScope scope;
    const pg::FreshSnapshot snapshot;
    const pg::Rows rows = pg::execute(
        "SELECT g.generation_id, g.generation, q.query_id, q.name, q.source_id, t.relowner, t.oid, v.oid,"
        "       g.generation = q.newest, g.generation = q.serving, f.generation_id IS NOT NULL, g.phase,"
        "       g.updater, to_regprocedure(g.updater)::oid, g.key_expression, g.key_type, g.key_is_array, "
        "g.event_types,"
        "       g.search_path, c.position, c.events_applied, g.version, g.definition_hash,"
        "       q.paused_at IS NOT NULL, g.spec::text, a.oid, g.alias_table IS NOT NULL,"
        "       c.revision, (q.options->>'parallel')::integer, coalesce(q.options->>'on_error' = 'skip', false),"
        "       (q.options->>'max_dead_letters')::integer, (q.options->>'keep_generations')::integer,"
        "       (extract(epoch FROM (q.options->>'rebuild_timeout')::interval) * 1000)::bigint,"
        "       (extract(epoch FROM (q.options->>'updater_timeout')::interval) * 1000)::bigint,"
        "       coalesce(f.reason = 'definition_changed', false)"
        "  FROM readmodel_catalog.generation g"
        "  JOIN readmodel_catalog.query q USING (query_id)"
        "  JOIN readmodel_catalog.checkpoint c USING (generation_id)"
        "  LEFT JOIN readmodel_catalog.failure f USING (generation_id)"
        "  LEFT JOIN pg_class t ON t.oid = g.state_table"
        "  LEFT JOIN pg_class a ON a.oid = g.alias_table"
        "  LEFT JOIN pg_class v ON v.oid = q.view"
        " ORDER BY g.generation_id",
        {}, true);
    std::vector<Generation> generations(rows.size());
    for (uint64 row = 0; row < rows.size(); row++)
    {
        Generation &generation = generations[row];
        generation.id = *rows.integer(row, 1);
        generation.number = *rows.integer(row, 2);
        generation.query_id = *rows.integer(row, 3);
        generation.query_name = *rows.text(row, 4);
        generation.source_id = *rows.integer(row, 5);
        generation.owner = rows.oid(row, 6);
        generation.state_table = rows.oid(row, 7);
        generation.view = rows.oid(row, 8);
        generation.newest = rows.boolean(row, 9);
        generation.serving = rows.boolean(row, 10);
        generation.failed = rows.boolean(row, 11);
        generation.phase = phase_named(*rows.text(row, 12));
        generation.definition.updater = rows.text(row, 13).value_or("");
        generation.definition.updater_oid = rows.oid(row, 14);
        generation.definition.key_expression = rows.text(row, 15).value_or("");
        generation.definition.key_type = key_type_named(*rows.text(row, 16));
        generation.definition.key_is_array = rows.boolean(row, 17);
        if (const std::optional<Datum> types = rows.get(row, 18))
            generation.definition.event_types = pg::texts_of(*types);
        generation.definition.search_path = *rows.text(row, 19);
        generation.checkpoint = rows.bigint(row, 20);
        generation.events_applied = rows.bigint(row, 21).value_or(0);
        generation.definition.version = rows.text(row, 22);
        generation.definition_hash = *rows.text(row, 23);
        generation.paused = rows.boolean(row, 24);
        generation.definition.spec = rows.text(row, 25);
        generation.alias_table = rows.oid(row, 26);
        generation.aliases_gone = rows.boolean(row, 27) && !OidIsValid(generation.alias_table);
        generation.revision = *rows.integer(row, 28);
        LaneOptions &options = generation.options;
        options.parallel = rows.integer(row, 29).value_or(options.parallel);
        options.skip_errors = rows.boolean(row, 30);
        options.max_dead_letters = rows.integer(row, 31).value_or(options.max_dead_letters);
        options.keep_generations = rows.integer(row, 32).value_or(options.keep_generations);
        options.rebuild_timeout_ms = rows.bigint(row, 33);
        options.updater_timeout_ms = rows.bigint(row, 34);
        generation.frozen = rows.boolean(row, 35);
    }
    for (const Share &share : load_shares())
        for (Generation &generation : generations)
            if (generation.id == share.generation_id)
                generation.shares.push_back(share);
    return generations;
}

void record_start(int32 generation_id)
{
    const CatalogScope scope;
    pg::execute("UPDATE readmodel_catalog.generation SET rebuild_started_at = now()"
                " WHERE generation_id = $1 AND rebuild_started_at IS NULL AND phase = 'rebuilding'",
                pg::Args().integer(generation_id));
}

void record_failure(int32 generation_id, const std::string &reason, const MaybePosition &position,
                    const std::string &sqlstate, const std::string &message)
{
    const CatalogScope scope;
    // Nothing is recorded for a generation that was dropped meanwhile. What retry() could clear gives way to what it must not.
    const pg::Rows rows =
        pg::execute("INSERT INTO readmodel_catalog.failure (generation_id, reason, position, sqlstate, message)"
                    " SELECT generation_id, $2, $3, nullif($4, ''), nullif($5, '')"
                    "   FROM readmodel_catalog.generation WHERE generation_id = $1 FOR KEY SHARE"
                    " ON CONFLICT (generation_id) DO UPDATE SET reason = excluded.reason, position = excluded.position,"
                    "       sqlstate = excluded.sqlstate, message = excluded.message, failed_at = now()"
                    " WHERE excluded.reason IN ('source_rewound', 'late_event')"
                    "   AND failure.reason NOT IN ('source_rewound', 'late_event')"
                    // Of the lanes of a rebuild that is split the one that is behind may come to an earlier event.
                    "    OR excluded.reason = failure.reason AND excluded.position < failure.position",
                    pg::Args().integer(generation_id).text(reason).bigint(position).text(sqlstate).text(message));
    // What an operator stops has not failed by itself.
    if (rows.size() > 0 && reason != "operator")
        worker::announce_failure(generation_id);
}

} // namespace query
