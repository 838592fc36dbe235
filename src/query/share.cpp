#include "query/share.hpp"

#include "pg/spi.hpp"
#include "query/checkpoint.hpp"

namespace query
{

std::vector<Share> load_shares()
{
    const pg::Rows rows =
        pg::execute("SELECT generation_id, share, count(*) OVER (PARTITION BY generation_id)::integer,"
                    "       position, up_to, finished"
                    "  FROM readmodel_catalog.share ORDER BY generation_id, share",
                    {}, true);
    std::vector<Share> shares(rows.size());
    for (uint64 row = 0; row < rows.size(); row++)
    {
        Share &share = shares[row];
        share.generation_id = *rows.integer(row, 1);
        share.number = *rows.integer(row, 2);
        share.count = *rows.integer(row, 3);
        share.position = rows.bigint(row, 4);
        share.up_to = *rows.bigint(row, 5);
        share.finished = rows.boolean(row, 6);
    }
    return shares;
}

bool split_rebuild(int32 generation_id, int shares, Position up_to)
{
    // Whoever else would move the checkpoint waits for this row, and then finds that it is not his to move.
    if (pg::execute("UPDATE readmodel_catalog.checkpoint SET shares = $2"
                    " WHERE generation_id = $1 AND position IS NULL AND shares = 1 RETURNING 1",
                    pg::Args().integer(generation_id).integer(shares))
            .empty())
        return false;
    pg::execute("INSERT INTO readmodel_catalog.share (generation_id, share, up_to)"
                " SELECT $1, number, $3 FROM generate_series(0, $2 - 1) number",
                pg::Args().integer(generation_id).integer(shares).bigint(up_to));
    return true;
}

bool move_share(const CheckpointMove &move, int share)
{
    static pg::Statement statement(
        "UPDATE readmodel_catalog.share SET position = $2, events_applied = events_applied + $3,"
        " instances = instances + $5, updated_at = pg_catalog.now()"
        " WHERE generation_id = $1 AND share = $6 AND position IS NOT DISTINCT FROM $4 AND NOT finished");
    pg::Args args;
    args.integer(move.generation_id).bigint(move.to).bigint(move.events).bigint(move.from).bigint(move.instances);
    args.integer(share);
    return statement.execute(args).size() == 1;
}

std::optional<bool> finish_share(int32 generation_id, int share)
{
    // Of two that finish at once the second waits here until the first has committed, and then sees that it is finished. (They hold
    // their own rows already, so they cannot wait for each other's.)
    pg::execute("SELECT FROM readmodel_catalog.checkpoint WHERE generation_id = $1 FOR UPDATE",
                pg::Args().integer(generation_id));
    if (pg::execute("UPDATE readmodel_catalog.share SET finished = true"
                    " WHERE generation_id = $1 AND share = $2 AND NOT finished RETURNING 1",
                    pg::Args().integer(generation_id).integer(share))
            .empty())
        return std::nullopt;
    if (!pg::execute("SELECT FROM readmodel_catalog.share WHERE generation_id = $1 AND NOT finished",
                     pg::Args().integer(generation_id))
             .empty())
        return false;
    pg::execute("UPDATE readmodel_catalog.checkpoint c"
                "   SET position = s.position, events_applied = s.events_applied, instances = s.instances, shares = 1,"
                "       updated_at = pg_catalog.now()"
                "  FROM (SELECT max(position) AS position, sum(events_applied)::bigint AS events_applied,"
                "               sum(instances)::bigint AS instances"
                "          FROM readmodel_catalog.share WHERE generation_id = $1) s"
                " WHERE c.generation_id = $1",
                pg::Args().integer(generation_id));
    pg::execute("DELETE FROM readmodel_catalog.share WHERE generation_id = $1", pg::Args().integer(generation_id));
    return true;
}

} // namespace query
