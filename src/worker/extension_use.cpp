#include "worker/extension_use.hpp"

namespace worker
{

namespace
{

constexpr const char *extension_name = "pg_readmodel";

// As of the last transaction that could use it.
Oid extension = InvalidOid;
Oid catalog_schema = InvalidOid; // goes with the extension
TimestampTz next_look = 0;

// What pg_extension says: InvalidOid if the extension is not there, and whether its version is the library's.
struct Extension
{
    Oid oid;
    bool same_version;
};

Extension look_up_extension()
{
    return pg::call(
        []
        {
            Extension found{InvalidOid, false};
            ScanKeyData key;
            ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
                        CStringGetDatum(extension_name));
            const Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
            // pg_extension has no system cache, so the scan takes a new catalog snapshot.
            const SysScanDesc scan = systable_beginscan(catalog, ExtensionNameIndexId, true, nullptr, 1, &key);
            if (const HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple))
            {
                bool is_null = false;
                const Datum version =
                    heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(catalog), &is_null);
                found.oid = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->oid;
                if (!is_null)
                {
                    char *const shown = TextDatumGetCString(version);
                    found.same_version = std::strcmp(shown, READMODEL_VERSION) == 0;
                    pfree(shown);
                }
            }
            systable_endscan(scan);
            table_close(catalog, AccessShareLock);
            return found;
        });
}

// Until the end of the transaction; false if another session changes or drops the extension.
bool lock_extension(Oid oid)
{
    return pg::call(
        [&]
        {
            LOCKTAG tag;
            SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, oid, 0);
            if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
                return false;
            AcceptInvalidationMessages();
            return true;
        });
}

} // namespace

Usable use_extension()
{
    const Oid known = OidIsValid(extension) ? extension : look_up_extension().oid;
    extension = InvalidOid;
    if (!OidIsValid(known))
        return Usable::absent;
    if (!lock_extension(known))
        return Usable::busy;
    // Under the lock it cannot go any more, and whether it has gone before shows in its schema, which has a system cache;
    // pg_extension has none. A new version is looked for every second: tables that it changes are locked meanwhile.
    const TimestampTz time = GetCurrentTimestamp();
    if (time < next_look && OidIsValid(catalog_schema) &&
        pg::call([] { return SearchSysCacheExists1(NAMESPACEOID, ObjectIdGetDatum(catalog_schema)); }))
    {
        extension = known;
        return Usable::yes;
    }
    const Extension now = look_up_extension();
    if (!OidIsValid(now.oid))
        return Usable::absent;
    if (now.oid != known)
        return Usable::busy; // dropped and created again: whoever worked with the old one begins anew
    extension = known;
    if (!now.same_version)
        return Usable::other_version;
    catalog_schema = pg::call([] { return get_namespace_oid("readmodel_catalog", true); });
    next_look = time + USECS_PER_SEC;
    return Usable::yes;
}

} // namespace worker
