// The guard in every query's view: is_serving(generation_id).

#include "query/catalog_rows.hpp"

namespace query
{

namespace
{

Datum is_serving(FunctionCallInfo fcinfo)
{
    const std::optional<catalog::Shown> shown = catalog::shown_by_view(PG_GETARG_INT32(0));
    if (shown && shown->number == shown->serving)
        PG_RETURN_BOOL(true);
    throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                    "could not serialize access due to a change of the query's serving generation")
        .detail("The snapshot is from before generation " +
                (shown ? std::to_string(shown->number) : std::string("that is shown")) + " took over.")
        .hint("Try the transaction again.");
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_is_serving, query::is_serving);
