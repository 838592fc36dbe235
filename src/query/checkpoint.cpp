#include "query/checkpoint.hpp"

#include "pg/spi.hpp"

namespace query
{

bool move_checkpoint(const CheckpointMove &move)
{
    static pg::Statement statement("UPDATE readmodel_catalog.checkpoint SET position = $2,"
                                   " events_applied = events_applied + $3, instances = instances + $5, updated_at = pg_catalog.now()"
                                   " WHERE generation_id = $1 AND position IS NOT DISTINCT FROM $4");
    pg::Args args;
    args.integer(move.generation_id).bigint(move.to).bigint(move.events).bigint(move.from).bigint(move.instances);
    return statement.execute(args).size() == 1;
}

} // namespace query
