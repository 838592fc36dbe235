// The guard in every query's view: is_serving(generation_id).

#include "query/catalog.hpp"

namespace query
{

namespace
{

// The row whose first column, an integer primary key, is `key`, under the active snapshot; its attribute `number`. Raises as
// PostgreSQL does. No SPI: the guard runs once in every statement that reads a view.
std::optional<int32> integer_of_row(const char *relation_name, const char *index_name, int32 key, AttrNumber number)
{
    struct Found
    {
        bool found;
        int32 value;
    };
    const Oid relation_oid = catalog_relation(relation_name);
    const Oid index_oid = catalog_relation(index_name);
    const Found found = pg::call(
        [&]
        {
            const Relation relation = table_open(relation_oid, AccessShareLock);
            ScanKeyData scan_key;
            ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(key));
            const SysScanDesc scan = systable_beginscan(relation, index_oid, true, GetActiveSnapshot(), 1, &scan_key);
            Found result{false, 0};
            const HeapTuple tuple = systable_getnext(scan);
            if (HeapTupleIsValid(tuple))
            {
                bool is_null = false;
                result.value = DatumGetInt32(heap_getattr(tuple, number, RelationGetDescr(relation), &is_null));
                result.found = !is_null;
            }
            systable_endscan(scan);
            table_close(relation, AccessShareLock);
            return result;
        });
    return found.found ? std::optional<int32>(found.value) : std::nullopt;
}

// As the catalog's tables are laid out; the install script is of the same version as the library.
constexpr AttrNumber generation_query_id = 2;
constexpr AttrNumber generation_number = 3;
constexpr AttrNumber query_serving = 7;

Datum is_serving(FunctionCallInfo fcinfo)
{
    const int32 generation_id = PG_GETARG_INT32(0);
    const std::optional<int32> query =
        integer_of_row("generation", "generation_pkey", generation_id, generation_query_id);
    const std::optional<int32> number =
        integer_of_row("generation", "generation_pkey", generation_id, generation_number);
    const std::optional<int32> serving =
        query ? integer_of_row("query", "query_pkey", *query, query_serving) : std::nullopt;
    if (number && serving && *number == *serving)
        PG_RETURN_BOOL(true);
    throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                    "could not serialize access due to a change of the query's serving generation")
        .detail("The snapshot is from before generation " +
                (number ? std::to_string(*number) : std::string("that is shown")) + " took over.")
        .hint("Try the transaction again.");
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_is_serving, query::is_serving);
