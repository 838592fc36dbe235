#include "query/checkpoint.hpp"

#include "pg/spi.hpp"

namespace query
{

bool move_checkpoint(const CheckpointMove &move)
{
    static pg::Statement statement(
        "UPDATE readmodel_catalog.checkpoint SET position = $2,"
        " events_applied = events_applied + $3, instances = instances + $5, updated_at = pg_catalog.now()"
        " WHERE generation_id = $1 AND position IS NOT DISTINCT FROM $4 AND shares = 1 AND revision = $6");
    pg::Args args;
    args.integer(move.generation_id).bigint(move.to).bigint(move.events).bigint(move.from).bigint(move.instances);
    args.integer(move.revision);
    return statement.execute(args).size() == 1;
}

namespace
{

// The table's trigger, which its WHEN clause calls only for what is refused.
Datum checkpoint_moves_forward(FunctionCallInfo)
{
    throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a checkpoint cannot be set back")
        .detail("The states contain the events up to it already and would count them twice.")
        .hint("Call readmodel.rebuild() to build the query anew.");
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_checkpoint_moves_forward, query::checkpoint_moves_forward);
