#include "query/catalog.hpp"

#include "pg/sqlstate.hpp"

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

CatalogScope::Path::Path()
{
    pg::set_local("search_path", "pg_catalog, pg_temp");
}

CatalogScope::CatalogScope() : user(catalog_owner(), false)
{
    if (!ActiveSnapshotSet())
        snapshot.emplace();
}

// A tag that names no object: the hash stands for the name, so that one that does not exist yet can be locked. Two names with one
// hash only wait for each other.
static uint32 lock_number_of(const std::string &name)
{
    return DatumGetUInt32(
        hash_any(reinterpret_cast<const unsigned char *>(name.data()), static_cast<int>(name.size())));
}

void lock_query_name(const std::string &name)
{
    const Oid queries = catalog_relation("query");
    // Here, before a lock that a standby does not grant or a statement of our own fails with a message about itself.
    if (XactReadOnly)
        throw pg::Error(ERRCODE_READ_ONLY_SQL_TRANSACTION,
                        "cannot define or change query " + pg::shown(name) +
                            (RecoveryInProgress() ? " during recovery" : " in a read-only transaction"));
    pg::call([&] { LockDatabaseObject(queries, lock_number_of(name), 0, ExclusiveLock); });
}

bool try_lock_query_name(const std::string &name)
{
    const Oid queries = catalog_relation("query");
    return pg::call([&] { return ConditionalLockDatabaseObject(queries, lock_number_of(name), 0, ExclusiveLock); });
}

std::optional<QueryRow> find_query(const std::string &name)
{
    const CatalogScope scope;
    const LatestSnapshot snapshot;
    const pg::Rows rows = pg::execute("SELECT q.query_id, q.source_id, s.name, c.oid, coalesce(c.relowner, "
                                      "t.relowner), q.options::text, q.newest, q.serving"
                                      "  FROM readmodel_catalog.query q"
                                      "  JOIN readmodel_catalog.source s USING (source_id)"
                                      "  LEFT JOIN pg_class c ON c.oid = q.view"
                                      "  LEFT JOIN LATERAL (SELECT r.relowner"
                                      "                       FROM readmodel_catalog.generation g"
                                      "                       JOIN pg_class r ON r.oid = g.state_table"
                                      "                      WHERE g.query_id = q.query_id"
                                      "                      ORDER BY g.generation = q.serving DESC, g.generation DESC"
                                      "                      LIMIT 1) t ON true"
                                      " WHERE q.name = $1",
                                      pg::Args().text(name), true);
    if (rows.empty())
        return std::nullopt;
    QueryRow query;
    query.id = *rows.integer(0, 1);
    query.name = name;
    query.source_id = *rows.integer(0, 2);
    query.source = *rows.text(0, 3);
    query.view = rows.oid(0, 4);
    query.owner = rows.oid(0, 5);
    query.options = *rows.text(0, 6);
    query.newest = *rows.integer(0, 7);
    query.serving = *rows.integer(0, 8);
    if (!OidIsValid(query.owner))
        query.owner = catalog_owner();
    return query;
}

QueryRow require_query(const std::string &name)
{
    std::optional<QueryRow> query = find_query(name);
    if (!query)
        throw pg::Error(pg::sqlstate::no_such_object, "query " + pg::shown(name) + " does not exist")
            .hint("readmodel.status() lists the queries; readmodel.define_query makes one.");
    return std::move(*query);
}

QueryRow require_own_query(const std::string &name)
{
    QueryRow query = require_query(name);
    require_owner(query);
    return query;
}

QueryRow lock_own_query(const std::string &name)
{
    lock_query_name(name);
    return require_own_query(name);
}

void require_owner(const QueryRow &query)
{
    if (pg::call([&] { return has_privs_of_role(GetUserId(), query.owner); }))
        return;
    const std::string owner =
        pg::call([&] { return static_cast<const char *>(GetUserNameFromId(query.owner, false)); });
    throw pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of query " + pg::shown(query.name))
        .detail("It belongs to role " + pg::shown(owner) + ", the owner of its view.");
}

void require_one_row(const pg::Rows &rows, const std::string &query)
{
    if (rows.size() != 1)
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                        "could not serialize access due to a concurrent change of query " + pg::shown(query))
            .hint("Try the transaction again.");
}

} // namespace query
