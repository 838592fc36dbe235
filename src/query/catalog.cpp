#include "query/catalog.hpp"

namespace query
{

Oid catalog_owner()
{
    return pg::call(
        []
        {
            const Oid schema = get_namespace_oid("readmodel_catalog", false);
            const HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
            if (!HeapTupleIsValid(tuple))
                elog(ERROR, "cache lookup failed for namespace %u", schema);
            const Oid owner = reinterpret_cast<Form_pg_namespace>(GETSTRUCT(tuple))->nspowner;
            ReleaseSysCache(tuple);
            return owner;
        });
}

Oid catalog_relation(const char *name)
{
    return pg::call(
        [&]
        {
            const Oid relation = get_relname_relid(name, get_namespace_oid("readmodel_catalog", false));
            if (!OidIsValid(relation))
                ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                                errmsg("relation \"%s.%s\" does not exist", "readmodel_catalog", name)));
            return relation;
        });
}

Oid data_schema()
{
    return pg::call([] { return get_namespace_oid("readmodel_data", false); });
}

} // namespace query
