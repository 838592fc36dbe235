#include "query/carry_over.hpp"

#include "pg/locks.hpp"
#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/catalog.hpp"
#include "query/fold.hpp"
#include "worker/faults.hpp"
#include "worker/worker_process.hpp"

namespace query
{

namespace
{

std::vector<std::string> texts(const pg::Rows &rows)
{
    std::vector<std::string> result;
    for (uint64 row = 0; row < rows.size(); row++)
        result.push_back(*rows.text(row, 1));
    return result;
}

void execute_all(const std::vector<std::string> &statements)
{
    for (const std::string &statement : statements)
        pg::execute(statement);
}

// Which column of one table is which of the other, by name and type; 0: it has none. In CurrentMemoryContext; raises.
AttrMap *map_of_columns(TupleDesc from, TupleDesc to)
{
    AttrMap *const map = make_attrmap(from->natts);
    for (int i = 0; i < from->natts; i++)
        for (int j = 0; j < to->natts; j++)
        {
            const FormData_pg_attribute *const a = TupleDescAttr(from, i);
            const FormData_pg_attribute *const b = TupleDescAttr(to, j);
            if (!a->attisdropped && !b->attisdropped && a->atttypid == b->atttypid &&
                std::strcmp(NameStr(a->attname), NameStr(b->attname)) == 0)
                map->attnums[i] = static_cast<AttrNumber>(j + 1);
        }
    return map;
}

// Whether all columns that an index reads are in the map, in its order, since an index's statement names them by number too.
bool maps_columns(Relation index, const AttrMap *map)
{
    Bitmapset *columns = nullptr;
    const Form_pg_index form = index->rd_index;
    for (int i = 0; i < form->indnatts; i++)
        if (form->indkey.values[i] != 0)
            columns = bms_add_member(columns, form->indkey.values[i] - FirstLowInvalidHeapAttributeNumber);
    pull_varattnos(reinterpret_cast<Node *>(RelationGetIndexExpressions(index)), 1, &columns);
    pull_varattnos(reinterpret_cast<Node *>(RelationGetIndexPredicate(index)), 1, &columns);
    int column = -1;
    while ((column = bms_next_member(columns, column)) >= 0)
    {
        const int number = column + FirstLowInvalidHeapAttributeNumber;
        if (number <= 0 || number > map->maplen || map->attnums[number - 1] == 0)
            return false;
    }
    return true;
}

bool has_equal_index(Relation table, Relation index, AttrMap *map)
{
    IndexInfo *const wanted = BuildIndexInfo(index);
    const List *const there = RelationGetIndexList(table);
    bool found = false;
    for (int i = 0; i < list_length(there) && !found; i++)
    {
        const Relation other = index_open(list_nth_oid(there, i), AccessShareLock);
        found = !other->rd_index->indisprimary &&
                CompareIndexInfo(BuildIndexInfo(other), wanted, other->rd_indcollation, index->rd_indcollation,
                                 other->rd_opfamily, index->rd_opfamily, map);
        index_close(other, NoLock);
    }
    return found;
}

// As CREATE TABLE .. (LIKE .. INCLUDING INDEXES COMMENTS) does it (expandTableLikeClause in parser/parse_utilcmd.c). Raises.
void clone_index(Oid from, Oid to, Oid index_oid)
{
    const Relation source = table_open(from, AccessShareLock);
    const Relation target = table_open(to, ShareLock);
    const Relation index = index_open(index_oid, AccessShareLock);
    AttrMap *const map = map_of_columns(RelationGetDescr(source), RelationGetDescr(target));
    if (!maps_columns(index, map))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("the new table of states does not have all its columns with their types")));
    if (!has_equal_index(target, index, map))
    {
        IndexStmt *const statement = generateClonedIndexStmt(nullptr, index, map, nullptr);
        statement->idxcomment = GetComment(index_oid, RelationRelationId, 0);
        DefineIndex(to, statement, InvalidOid, InvalidOid, InvalidOid, false, false, false, false, true);
    }
    index_close(index, NoLock);
    table_close(target, NoLock);
    table_close(source, NoLock);
    CommandCounterIncrement();
}

void carry_over_indexes(const Generation &generation, Oid from)
{
    const pg::Rows rows =
        pg::execute("SELECT i.indexrelid, c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                    " WHERE i.indrelid = $1 AND NOT i.indisprimary AND i.indisvalid ORDER BY c.relname",
                    pg::Args().oid(from), true);
    for (uint64 row = 0; row < rows.size(); row++)
    {
        const Oid index = rows.oid(row, 1);
        const std::string name = *rows.text(row, 2);
        const std::optional<pg::PgError> error =
            pg::attempt(false,
                        [&]
                        {
                            // Already looking at an index folds the constants in its expressions: calls of its owner's code.
                            const pg::AsUser owner(generation.owner, true);
                            pg::set_local("search_path", "pg_catalog, pg_temp");
                            const worker::WorkerProcess::UserCode user_code; // building a large one can be broken off
                            pg::call([&] { clone_index(from, generation.state_table, index); });
                        });
        if (!error)
            continue;
        if (is_transient(error->sqlstate()))
            throw pg::PgError(*error);
        pg::log(WARNING,
                "index " + pg::shown(name) + " of query " + pg::shown(generation.query_name) +
                    " could not be carried over to generation " + std::to_string(generation.number),
                "SQLSTATE " + error->sqlstate_text() + ". The generation goes on without it.",
                "Create it on the table that readmodel.state_table() names.");
    }
}

void carry_over_storage(Oid from, Oid to)
{
    const std::string target = pg::relation_name(to);
    execute_all(texts(pg::execute(
        "WITH option AS ("
        "   SELECT r.oid = $1 AS given, o.option_name, o.option_value FROM pg_class r, "
        "pg_options_to_table(r.reloptions) o"
        "    WHERE r.oid IN ($1, $2)"
        "   UNION ALL"
        "   SELECT r.oid = $1, 'toast.' || o.option_name, o.option_value"
        "     FROM pg_class r JOIN pg_class t ON t.oid = r.reltoastrelid, pg_options_to_table(t.reloptions) o"
        "    WHERE r.oid IN ($1, $2)),"
        " new AS (SELECT option_name, option_value FROM option WHERE given EXCEPT"
        "         SELECT option_name, option_value FROM option WHERE NOT given),"
        " gone AS (SELECT option_name FROM option WHERE NOT given EXCEPT SELECT option_name FROM option WHERE given)"
        " SELECT format('ALTER TABLE %s SET (%s = %L)', $3, option_name, option_value) FROM new"
        " UNION ALL SELECT format('ALTER TABLE %s RESET (%s)', $3, option_name) FROM gone"
        " UNION ALL"
        " SELECT format('ALTER TABLE %s ALTER COLUMN %I %s', $3, a.attname, change)"
        "   FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = $2 AND b.attname = a.attname AND b.atttypid = "
        "a.atttypid,"
        "        LATERAL (VALUES"
        "           (a.attstattarget <> b.attstattarget, format('SET STATISTICS %s', a.attstattarget)),"
        "           (a.attstorage <> b.attstorage, 'SET STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' "
        "THEN"
        "               'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END),"
        "           (a.attcompression <> b.attcompression, 'SET COMPRESSION ' || CASE a.attcompression WHEN 'p' THEN "
        "'pglz'"
        "               WHEN 'l' THEN 'lz4' ELSE 'default' END)) AS changes (due, change)"
        "  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND due",
        pg::Args().oid(from).oid(to).text(target), true)));
}

} // namespace

void carry_over_privileges(Oid from, const std::string &kind, const std::string &to)
{
    // In this order: what is revoked first is granted again.
    execute_all(texts(
        pg::execute("WITH v AS (SELECT * FROM pg_class WHERE oid = $1),"
                    " privilege AS ("
                    "   SELECT a.*, NULL::name AS column_name FROM v, aclexplode(v.relacl) WITH ORDINALITY a"
                    "   UNION ALL"
                    "   SELECT a.*, c.attname FROM pg_attribute c, aclexplode(c.attacl) WITH ORDINALITY a"
                    "    WHERE c.attrelid = $1 AND c.attnum > 0)"
                    " SELECT statement FROM ("
                    " SELECT 1, 0, format('REVOKE ALL ON %s FROM %I', $2, pg_get_userbyid(relowner)) FROM v WHERE "
                    "relacl IS NOT NULL"
                    " UNION ALL"
                    " SELECT 2, ordinality, format('GRANT %s%s ON %s TO %s%s', privilege_type, '(' || "
                    "quote_ident(column_name) || ')', $2,"
                    "               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,"
                    "               CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END) FROM privilege"
                    " UNION ALL"
                    " SELECT 3, 0, format('COMMENT ON %s %s IS %L', $3, $2, obj_description($1, 'pg_class'))"
                    "  WHERE obj_description($1, 'pg_class') IS NOT NULL"
                    " UNION ALL"
                    " SELECT 4, attnum, format('COMMENT ON COLUMN %s.%I IS %L', $2, attname, col_description($1, "
                    "attnum)) FROM pg_attribute"
                    "  WHERE attrelid = $1 AND attnum > 0 AND col_description($1, attnum) IS NOT NULL"
                    " ) AS all_of_them (step, number, statement) ORDER BY step, number, statement",
                    pg::Args().oid(from).text(to).text(kind))));
}

namespace
{

// Changes with what is carried over again: not with the storage options of an index. Empty for no table. No md5(), which a server in FIPS
// mode refuses.
std::string properties_digest(Oid table)
{
    const pg::Rows rows = pg::execute(
        "SELECT hashtextextended(ROW(c.oid, c.relacl, c.reloptions, t.reloptions, obj_description(c.oid, 'pg_class'),"
        "       (SELECT array_agg(ROW(attname, attacl, attstattarget, attstorage, attcompression,"
        "                             col_description(attrelid, attnum)) ORDER BY attnum)"
        "          FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),"
        "       (SELECT array_agg(ROW(indexrelid, obj_description(indexrelid, 'pg_class')) ORDER BY indexrelid)"
        "          FROM pg_index WHERE indrelid = c.oid AND indisvalid))::text, 0)::text"
        "  FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = $1",
        pg::Args().oid(table), true);
    return rows.empty() ? "" : *rows.text(0, 1);
}

// What it was given by an earlier preparation may have been revoked since.
void revoke_from_others(Oid table)
{
    execute_all(texts(pg::execute(
        "SELECT DISTINCT format('REVOKE ALL ON %s FROM %s CASCADE', $2,"
        "               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)"
        "  FROM pg_class c, LATERAL (SELECT grantee FROM aclexplode(c.relacl) UNION ALL"
        "           SELECT e.grantee FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = c.oid) AS granted"
        " WHERE c.oid = $1 AND grantee <> relowner",
        pg::Args().oid(table).text(pg::relation_name(table)), true)));
}

// What a generation is to be like, and what it was last made like; no table: nothing serves before it, or what did is gone.
struct Preparation
{
    std::optional<std::string> done_for;
    Oid from = InvalidOid;
};

std::optional<Preparation> preparation_of(const Generation &generation)
{
    const CatalogScope scope;
    const pg::Rows rows =
        pg::execute("SELECT g.prepared_for, c.oid FROM readmodel_catalog.generation g"
                    "  JOIN readmodel_catalog.query q USING (query_id)"
                    "  LEFT JOIN readmodel_catalog.generation s"
                    "    ON s.query_id = q.query_id AND s.generation = q.serving AND s.generation <> g.generation"
                    "  LEFT JOIN pg_class c ON c.oid = s.state_table"
                    " WHERE g.generation_id = $1",
                    pg::Args().integer(generation.id), true);
    if (rows.empty())
        return std::nullopt;
    return Preparation{rows.text(0, 1), rows.oid(0, 2)};
}

bool has_unfinished_index(Oid table)
{
    return !pg::execute("SELECT 1 FROM pg_index WHERE indrelid = $1 AND NOT indisvalid", pg::Args().oid(table), true)
                .empty();
}

} // namespace

bool prepare_takeover(const Generation &generation)
{
    std::optional<Preparation> preparation = preparation_of(generation);
    // First, since it may be waited for: whoever drops the query locks all its tables.
    if (!preparation || !pg::lock_unless_gone(generation.state_table, AccessShareLock))
        return false; // the generation was given up
    // Who drops the old one meanwhile has nothing to be carried over.
    Oid &from = preparation->from;
    if (OidIsValid(from) && pg::try_lock(from, AccessShareLock) != pg::LockAttempt::locked)
        from = InvalidOid;
    if (preparation->done_for && !OidIsValid(from))
        return false;
    const CatalogScope scope;
    // What is carried over is not older than what is noted as carried over, so that a change in between is seen the next time.
    const LatestSnapshot snapshot;
    const std::string now = properties_digest(from);
    if (preparation->done_for == now)
        return false;
    if (OidIsValid(from))
    {
        if (preparation->done_for)
            revoke_from_others(generation.state_table);
        carry_over_storage(from, generation.state_table);
        carry_over_indexes(generation, from);
        carry_over_privileges(from, "TABLE", pg::relation_name(generation.state_table));
    }
    // The first statement that reads the view is planned with what the table holds now.
    pg::execute("ANALYZE " + pg::relation_name(generation.state_table));
    pg::execute("UPDATE readmodel_catalog.generation SET prepared_for = $2 WHERE generation_id = $1",
                pg::Args().integer(generation.id).text(now));
    return true;
}

void require_prepared(const Generation &generation)
{
    const std::optional<Preparation> preparation = [&]
    {
        const LatestSnapshot snapshot;
        return preparation_of(generation);
    }();
    if (!preparation || !OidIsValid(preparation->from))
        return;
    const Oid from = preparation->from;
    FAULT_POINT(before_table_lock);
    const CatalogScope scope;
    // Against those who make an index, or change the table, at this moment, and those who are about to.
    pg::LockAttempt attempt = pg::try_lock(from, RowExclusiveLock);
    if (attempt == pg::LockAttempt::gone)
        return;
    // With the lock: who had it before has committed what this sees.
    const LatestSnapshot snapshot;
    if (attempt == pg::LockAttempt::locked && has_unfinished_index(from))
        attempt = pg::try_lock(from, ShareUpdateExclusiveLock); // which CREATE INDEX CONCURRENTLY has all the time
    if (attempt == pg::LockAttempt::busy || preparation->done_for != properties_digest(from))
        throw pg::Error(ERRCODE_LOCK_NOT_AVAILABLE, "the table of states that serves query " +
                                                        pg::shown(generation.query_name) + " is being changed")
            .detail("What it is given is given to the new one first.");
}

std::optional<ServingStates> serving_states(const Generation &generation)
{
    const std::optional<Preparation> preparation = preparation_of(generation);
    if (!preparation || !OidIsValid(preparation->from))
        return std::nullopt;
    const CatalogScope scope;
    return ServingStates{preparation->from,
                         has_unfinished_index(preparation->from) ? ShareUpdateExclusiveLock : RowExclusiveLock};
}

} // namespace query
