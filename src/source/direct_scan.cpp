#include "source/direct_scan.hpp"

namespace source
{

namespace
{

constexpr size_t block_bytes = size_t{256} * 1024;

constexpr int columns = 6;
constexpr int bounds = 2;

// Where a value of the result comes from.
struct Column
{
    AttrNumber attribute; // 0: it is always null
    bool widened;         // int4 to int8
};

// What a plan of the page query comes down to. Plain memory: an error jumps over it.
struct Shape
{
    const PlannedStmt *statement;
    const IndexScan *scan;
    Oid table;
    Column column[columns];
    AttrNumber last_attribute;
};

bool column_of(Node *expression, Index table, Column &column)
{
    column = {0, false};
    if (IsA(expression, Const))
        return castNode(Const, expression)->constisnull;
    if (IsA(expression, FuncExpr) && castNode(FuncExpr, expression)->funcid == F_INT8_INT4)
    {
        column.widened = true;
        expression = static_cast<Node *>(linitial(castNode(FuncExpr, expression)->args));
    }
    // The bytes are the same, as of varchar taken for text.
    while (IsA(expression, RelabelType))
        expression = reinterpret_cast<Node *>(castNode(RelabelType, expression)->arg);
    if (!IsA(expression, Var))
        return false;
    const Var *const var = castNode(Var, expression);
    if (static_cast<Index>(var->varno) != table || var->varattno <= 0)
        return false;
    column.attribute = var->varattno;
    return true;
}

// The plan is the planner's: that the index may be used, that no row of the table lies elsewhere, and that nothing else filters
// them, it has seen to.
bool recognise(const CachedPlan *plan, Shape &shape)
{
    if (list_length(plan->stmt_list) != 1)
        return false;
    const PlannedStmt *const statement = linitial_node(PlannedStmt, plan->stmt_list);
    if (statement->commandType != CMD_SELECT || statement->subplans || statement->rowMarks ||
        list_length(statement->rtable) != 1 || !IsA(statement->planTree, Limit))
        return false;
    const Limit *const limit = castNode(Limit, statement->planTree);
    if (limit->limitOffset || limit->limitOption != LIMIT_OPTION_COUNT || !limit->limitCount ||
        !IsA(limit->limitCount, Param) || castNode(Param, limit->limitCount)->paramid != bounds + 1 ||
        limit->plan.qual || limit->plan.initPlan || !limit->plan.lefttree || !IsA(limit->plan.lefttree, IndexScan))
        return false;
    const IndexScan *const scan = castNode(IndexScan, limit->plan.lefttree);
    const RangeTblEntry *const table =
        list_nth_node(RangeTblEntry, statement->rtable, static_cast<int>(scan->scan.scanrelid) - 1);
    if (table->rtekind != RTE_RELATION || table->relkind != RELKIND_RELATION || table->tablesample ||
        scan->scan.plan.qual || scan->scan.plan.initPlan || scan->indexorderby ||
        list_length(scan->indexqual) != bounds)
        return false;

    shape = {statement, scan, table->relid, {}, 0};
    int at = 0;
    ListCell *cell = nullptr;
    foreach (cell, scan->scan.plan.targetlist)
    {
        const TargetEntry *const entry = lfirst_node(TargetEntry, cell);
        if (entry->resjunk)
            continue;
        if (at == columns || !column_of(reinterpret_cast<Node *>(entry->expr), scan->scan.scanrelid, shape.column[at]))
            return false;
        shape.last_attribute = std::max(shape.last_attribute, shape.column[at].attribute);
        at++;
    }
    return at == columns && shape.column[query::column_position].attribute > 0;
}

// The bounds as the index takes them. False: they are not two comparisons of its first column with a parameter.
bool make_keys(const Shape &shape, Relation index, const pg::Args &args, ScanKey keys)
{
    if (index->rd_rel->relam != BTREE_AM_OID) // others may give rows that are to be checked again
        return false;
    int at = 0;
    ListCell *cell = nullptr;
    foreach (cell, shape.scan->indexqual)
    {
        Node *const condition = static_cast<Node *>(lfirst(cell));
        if (!IsA(condition, OpExpr) || list_length(castNode(OpExpr, condition)->args) != 2)
            return false;
        const OpExpr *const comparison = castNode(OpExpr, condition);
        Node *const left = static_cast<Node *>(linitial(comparison->args));
        Node *const right = static_cast<Node *>(lsecond(comparison->args));
        if (!IsA(left, Var) || castNode(Var, left)->varno != INDEX_VAR || castNode(Var, left)->varattno != 1 ||
            !IsA(right, Param))
            return false;
        const Param *const bound = castNode(Param, right);
        if (bound->paramkind != PARAM_EXTERN || bound->paramid > bounds)
            return false;
        int strategy = 0;
        Oid left_type = InvalidOid;
        Oid right_type = InvalidOid;
        get_op_opfamily_properties(comparison->opno, index->rd_opfamily[0], false, &strategy, &left_type, &right_type);
        ScanKeyEntryInitialize(&keys[at++], 0, 1, static_cast<StrategyNumber>(strategy), right_type,
                               comparison->inputcollid, comparison->opfuncid,
                               args.values[static_cast<size_t>(bound->paramid) - 1]);
    }
    return true;
}

// A value of the table's own memory, copied: a buffer is only pinned until the next row.
Datum copied(Datum value, PageContent &page)
{
    const char *const from = DatumGetPointer(value);
    if (VARATT_IS_SHORT(from) && !VARATT_IS_EXTERNAL(from)) // what is stored apart has a header of one byte too
    {
        // Readers of jsonb would make this copy once for each generation.
        const size_t length = VARSIZE_SHORT(from) - VARHDRSZ_SHORT;
        char *const to = page.take(length + VARHDRSZ);
        SET_VARSIZE(to, length + VARHDRSZ);
        std::memcpy(VARDATA(to), VARDATA_SHORT(from), length);
        return PointerGetDatum(to);
    }
    // Whoever reads it will need room for all of it.
    if (VARATT_IS_EXTENDED(from))
        page.count(toast_raw_datum_size(value));
    const size_t length = VARSIZE_ANY(from);
    char *const to = page.take(length);
    std::memcpy(to, from, length);
    return PointerGetDatum(to);
}

void take_event(const Shape &shape, TupleTableSlot *slot, PageContent &page)
{
    slot_getsomeattrs(slot, shape.last_attribute);
    query::EventValues &event = page.events.emplace_back();
    for (int at = 0; at < columns; at++)
    {
        const Column &column = shape.column[at];
        const int from = column.attribute - 1;
        event.nulls[at] = from < 0 || slot->tts_isnull[from];
        if (event.nulls[at])
            event.values[at] = 0;
        else if (column.widened)
            event.values[at] = Int64GetDatum(int64{DatumGetInt32(slot->tts_values[from])});
        else if (TupleDescAttr(slot->tts_tupleDescriptor, from)->attbyval)
            event.values[at] = slot->tts_values[from];
        else
            event.values[at] = copied(slot->tts_values[from], page);
    }
    page.positions.push_back(DatumGetInt64(event.values[query::column_position]));
}

// The table is locked by the plan cache, as for any execution of the plan.
std::optional<bool> scan(const CachedPlan *plan, const pg::Args &args, size_t limit, PageContent &page)
{
    Shape shape;
    if (!recognise(plan, shape))
        return std::nullopt;
    Relation const index = index_open(shape.scan->indexid, AccessShareLock);
    ScanKeyData keys[bounds];
    if (!make_keys(shape, index, args, keys))
    {
        index_close(index, NoLock);
        return std::nullopt;
    }
    ExecCheckRTPerms(shape.statement->rtable, true);
    Relation const table = table_open(shape.table, NoLock);
    TupleTableSlot *const slot = table_slot_create(table, nullptr);
    IndexScanDesc const scan = index_beginscan(table, index, GetActiveSnapshot(), bounds, 0);
    index_rescan(scan, keys, bounds, nullptr, 0);
    bool more = true;
    while (page.events.size() < limit && page.bytes() < most_page_bytes)
    {
        CHECK_FOR_INTERRUPTS();
        more = index_getnext_slot(scan, shape.scan->indexorderdir, slot);
        if (!more)
            break;
        take_event(shape, slot, page);
    }
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    table_close(table, NoLock);
    index_close(index, NoLock);
    return more;
}

} // namespace

char *PageContent::take(size_t bytes)
{
    bytes = MAXALIGN(bytes);
    while (current < blocks.size() && filled + bytes > blocks[current].size)
    {
        current++;
        filled = 0;
    }
    if (current == blocks.size())
    {
        const size_t size = std::max(block_bytes, bytes);
        blocks.push_back({std::make_unique_for_overwrite<char[]>(size), size});
    }
    char *const room = blocks[current].memory.get() + filled;
    filled += bytes;
    used += bytes;
    return room;
}

void PageContent::clear()
{
    positions.clear();
    events.clear();
    current = filled = used = 0;
}

std::optional<bool> scan_directly(pg::Statement &statement, const pg::Args &args, int limit, PageContent &page)
{
    SPIPlanPtr const prepared = statement.prepared(args);
    std::optional<bool> more;
    pg::call(
        [&]
        {
            CachedPlan *const plan = SPI_plan_get_cached_plan(prepared);
            if (!plan)
                return;
            more = scan(plan, args, static_cast<size_t>(std::max(limit, 0)), page);
            ReleaseCachedPlan(plan, CurrentResourceOwner);
        });
    return more;
}

} // namespace source
