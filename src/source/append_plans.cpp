#include "source/append_plans.hpp"

namespace source
{

namespace
{

HTAB *all_plans = nullptr;

// A renamed table, column or index makes the prepared text wrong; relation InvalidOid means all of them.
void forget_relation(Datum, Oid relation)
{
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, all_plans);
    while (auto *plans = static_cast<AppendPlans *>(hash_seq_search(&scan)))
        if (!OidIsValid(relation) || plans->table == relation ||
            std::find(plans->index, plans->index + plans->indexes, relation) != plans->index + plans->indexes)
            plans->changes++;
}

void forget_schema(Datum, int, uint32)
{
    forget_relation(Datum{0}, InvalidOid);
}

void create_hash()
{
    HASHCTL control{};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(AppendPlans);
    control.hcxt = TopMemoryContext;
    all_plans = hash_create("pg_readmodel append plans", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    CacheRegisterRelcacheCallback(forget_relation, Datum{0});
    CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, Datum{0});
}

struct Needed
{
    const char *name;
    Oid type;
};
constexpr Needed needed_columns[] = {
    {"position", INT8OID}, {"stream_id", TEXTOID}, {"version", INT8OID},
    {"type", TEXTOID},     {"data", JSONBOID},     {"metadata", JSONBOID},
};

void check_columns(Relation relation)
{
    const Oid table = RelationGetRelid(relation);
    const char kind = relation->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("cannot append events to \"%s\"", RelationGetRelationName(relation)),
                        errdetail_relkind_not_supported(kind)));
    for (const Needed &needed : needed_columns)
    {
        const AttrNumber number = get_attnum(table, needed.name);
        if (number == InvalidAttrNumber)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("cannot append events to table \"%s\"", RelationGetRelationName(relation)),
                            errdetail("It has no column \"%s\".", needed.name),
                            errhint("append() works on tables that have the columns of readmodel.create_event_table(); "
                                    "insert into others with INSERT.")));
        if (get_atttype(table, number) != needed.type)
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("cannot append events to table \"%s\"", RelationGetRelationName(relation)),
                            errdetail("Column \"%s\" is of type %s, not %s.", needed.name,
                                      format_type_be(get_atttype(table, number)), format_type_be(needed.type)),
                            errhint("append() works on tables that have the columns of readmodel.create_event_table(); "
                                    "insert into others with INSERT.")));
    }
}

void remember_version_indexes(AppendPlans *plans, Relation relation)
{
    const AttrNumber stream = get_attnum(plans->table, "stream_id");
    const AttrNumber version = get_attnum(plans->table, "version");
    plans->indexes = 0;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(relation))
    {
        const Oid index = lfirst_oid(cell);
        const HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
        if (!HeapTupleIsValid(tuple))
            continue;
        const auto *const form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
        const int16 *const keys = form->indkey.values;
        const bool matches = form->indisunique && form->indnkeyatts == 2 &&
                             ((keys[0] == stream && keys[1] == version) || (keys[0] == version && keys[1] == stream));
        ReleaseSysCache(tuple);
        const char *const name = matches ? get_rel_name(index) : nullptr;
        if (!name || plans->indexes == AppendPlans::max_indexes)
            continue;
        plans->index[plans->indexes] = index;
        namestrcpy(&plans->index_name[plans->indexes], name);
        plans->indexes++;
    }
}

SPIPlanPtr prepare(const char *format, const char *table, int count, const Oid *types)
{
    const SPIPlanPtr plan = SPI_prepare(psprintf(format, table), count, const_cast<Oid *>(types));
    if (!plan)
        elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    return plan;
}

void replace(SPIPlanPtr *kept, SPIPlanPtr plan, bool keep_old)
{
    SPI_keepplan(plan);
    if (*kept && !keep_old)
        SPI_freeplan(*kept);
    *kept = plan;
}

// Operators and functions are written with their schema: the statements run under the caller's search_path, as an
// INSERT of the caller's would, and so do the table's defaults and triggers.
void prepare_all(AppendPlans *plans, bool nested)
{
    const Relation relation = relation_open(plans->table, AccessShareLock);
    check_columns(relation);
    remember_version_indexes(plans, relation);
    const char *const table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
                                                         RelationGetRelationName(relation));
    relation_close(relation, NoLock);

    static constexpr Oid highest_types[] = {TEXTOID};
    static constexpr Oid one_types[] = {TEXTOID, INT8OID, TEXTOID, JSONBOID, JSONBOID};
    static constexpr Oid many_types[] = {TEXTOID, INT8ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, JSONBARRAYOID};
    const SPIPlanPtr highest =
        prepare("SELECT version FROM %s WHERE stream_id OPERATOR(pg_catalog.=) $1 AND version IS NOT NULL"
                " ORDER BY version DESC LIMIT 1",
                table, 1, highest_types);
    const SPIPlanPtr one =
        prepare("INSERT INTO %s (stream_id, version, type, data, metadata) VALUES ($1, $2, $3, $4, $5)"
                " RETURNING position",
                table, 5, one_types);
    const SPIPlanPtr many = prepare(
        "INSERT INTO %s (stream_id, version, type, data, metadata) SELECT $1, e.version, e.type, e.data, e.metadata"
        " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5))"
        " AS e (version, type, data, metadata) RETURNING position",
        table, 5, many_types);

    replace(&plans->highest_version, highest, nested);
    replace(&plans->insert_one, one, nested);
    replace(&plans->insert_many, many, nested);
}

} // namespace

const AppendPlans *plans_for(Oid table, bool nested)
{
    if (!all_plans)
        create_hash();
    bool found = false;
    auto *const plans = static_cast<AppendPlans *>(hash_search(all_plans, &table, HASH_ENTER, &found));
    if (!found)
    {
        std::memset(static_cast<void *>(plans), 0, sizeof *plans);
        plans->table = table;
        plans->changes = 1;
    }
    if (plans->current != plans->changes)
    {
        // Noted before the work: what changes meanwhile makes the plans stale again.
        const uint64 changes = plans->changes;
        prepare_all(plans, nested);
        plans->current = changes;
    }
    return plans;
}

} // namespace source
