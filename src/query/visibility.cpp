#include "query/visibility.hpp"

namespace query
{

namespace
{

// readmodel_catalog.reader(): EXECUTE on it is what grant_reader() gives. pg_dump keeps such a grant; a role or a table of
// names would not survive a restore as simply.
Oid reader_marker()
{
    oidvector *const no_arguments = buildoidvector(nullptr, 0);
    return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("reader"), PointerGetDatum(no_arguments),
                           ObjectIdGetDatum(get_namespace_oid("readmodel_catalog", true)));
}

} // namespace

Oid relation_owner(Oid relation)
{
    return pg::call(
        [&]
        {
            const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
            if (!HeapTupleIsValid(tuple))
                return InvalidOid;
            const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
            ReleaseSysCache(tuple);
            return owner;
        });
}

bool may_see_messages(Oid owner)
{
    return pg::call(
        [&] { return has_privs_of_role(GetUserId(), owner) || has_privs_of_role(GetUserId(), ROLE_PG_MONITOR); });
}

bool may_see_all()
{
    return pg::call(
        []
        {
            if (has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
                return true;
            const Oid marker = reader_marker();
            return OidIsValid(marker) && pg_proc_aclcheck(marker, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
        });
}

bool may_see(Oid owner)
{
    return pg::call([&] { return has_privs_of_role(GetUserId(), owner); }) || may_see_all();
}

bool Viewer::may_see(Oid owner)
{
    auto place = known.find(owner);
    if (place == known.end())
        place = known.emplace(owner, query::may_see(owner)).first;
    return place->second;
}

} // namespace query
