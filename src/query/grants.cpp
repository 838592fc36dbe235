// grant_reader(), grant_definer() and their opposites: privileges by the names that operators think in. No roles are created.

#include "pg/spi.hpp"
#include "query/arguments.hpp"

namespace
{

using namespace query;

Oid extension_owner()
{
    return pg::call(
        []
        {
            Oid owner = InvalidOid;
            const Relation relation = table_open(ExtensionRelationId, AccessShareLock);
            ScanKeyData key;
            ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
                        CStringGetDatum("pg_readmodel"));
            const SysScanDesc scan = systable_beginscan(relation, ExtensionNameIndexId, true, nullptr, 1, &key);
            const HeapTuple tuple = systable_getnext(scan);
            if (HeapTupleIsValid(tuple))
                owner = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extowner;
            systable_endscan(scan);
            table_close(relation, AccessShareLock);
            return owner;
        });
}

void require_extension_owner()
{
    const bool allowed = pg::call(
        []
        {
            const Oid owner = extension_owner();
            return superuser() || (OidIsValid(owner) && has_privs_of_role(GetUserId(), owner));
        });
    if (!allowed)
        throw pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be superuser or owner of extension \"pg_readmodel\"");
}

std::string role_argument(FunctionCallInfo fcinfo)
{
    require_argument(fcinfo, 0, "role");
    return NameStr(*PG_GETARG_NAME(0));
}

// What defines or changes things: the routines in schema readmodel that the extension did not give to PUBLIC when it was
// created (whatever was granted since), except those of this file.
constexpr const char *definer_routines = R"(
    SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_init_privs i ON i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND i.objoid = p.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'readmodel' AND i.privtype = 'e'
      AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(i.initprivs) a WHERE a.grantee = 0)
      AND p.proname NOT IN ('grant_reader', 'revoke_reader', 'grant_definer', 'revoke_definer')
    ORDER BY 1)";

enum class Direction
{
    grant,
    revoke,
};

void change(Direction direction, const std::string &privilege, const std::string &role)
{
    const bool grant = direction == Direction::grant;
    pg::execute((grant ? "GRANT " : "REVOKE ") + privilege + (grant ? " TO " : " FROM ") + pg::quoted(role));
}

Datum reader(FunctionCallInfo fcinfo, Direction direction)
{
    require_extension_owner();
    const std::string role = role_argument(fcinfo);
    const pg::Spi spi;
    change(direction, "EXECUTE ON FUNCTION readmodel_catalog.reader()", role);
    PG_RETURN_VOID();
}

Datum definer(FunctionCallInfo fcinfo, Direction direction)
{
    require_extension_owner();
    const std::string role = role_argument(fcinfo);
    const pg::Spi spi;
    std::vector<std::string> routines;
    const pg::Rows rows = pg::execute(definer_routines);
    for (uint64 i = 0; i < rows.size(); i++)
        routines.push_back(rows.text(i, 1).value_or(""));
    for (const std::string &routine : routines)
        change(direction, "EXECUTE ON ROUTINE " + routine, role);
    // Who owns a table of states may index it, and PostgreSQL asks for the right to create in its schema for that.
    change(direction, "CREATE ON SCHEMA readmodel_data", role);
    PG_RETURN_VOID();
}

Datum grant_reader(FunctionCallInfo fcinfo)
{
    return reader(fcinfo, Direction::grant);
}

Datum revoke_reader(FunctionCallInfo fcinfo)
{
    return reader(fcinfo, Direction::revoke);
}

Datum grant_definer(FunctionCallInfo fcinfo)
{
    return definer(fcinfo, Direction::grant);
}

Datum revoke_definer(FunctionCallInfo fcinfo)
{
    return definer(fcinfo, Direction::revoke);
}

} // namespace

READMODEL_FUNCTION(readmodel_grant_reader, grant_reader);
READMODEL_FUNCTION(readmodel_revoke_reader, revoke_reader);
READMODEL_FUNCTION(readmodel_grant_definer, grant_definer);
READMODEL_FUNCTION(readmodel_revoke_definer, revoke_definer);
