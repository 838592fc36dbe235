#include "query/state_rows.hpp"

#include "query/state_table_form.hpp"

namespace query
{

namespace
{

using Entry = StateCache::Entry;

// Rows that are inserted at once.
constexpr int insert_rows = 1000;
constexpr size_t insert_bytes = size_t{256} * 1024;

// Plain memory all of it: an error jumps over it, and the abort that follows releases what it points to.
struct Table
{
    KeyType type;
    const StateCache *cache; // of what is written
    Relation relation;
    EState *estate;
    ResultRelInfo *target;
    Snapshot snapshot;
    BlockNumber blocks; // that there were at first: a row that was seen beyond them is gone
    TupleTableSlot *old_row;
    TupleTableSlot *new_row;
    // The index that the ids are looked up in; null: there is none that will do.
    Relation key;
    IndexScanDesc key_scan;
    ScanKeyData wanted;
    BlockNumber pruned; // the block that was looked over last
    CommandId command;
    TimestampTz now;
};

// What the executor would do later than the row itself, or in another way.
bool has_deferred_checks(const ResultRelInfo *target)
{
    for (int i = 0; i < target->ri_NumIndices; i++)
        if (target->ri_IndexRelationInfo[i]->ii_ExclusionOps ||
            !target->ri_IndexRelationDescs[i]->rd_index->indimmediate)
            return true;
    return false;
}

void open_key(Table &table)
{
    table.key = nullptr;
    table.key_scan = nullptr;
    for (int i = 0; i < table.target->ri_NumIndices && !table.key; i++)
    {
        Relation const index = table.target->ri_IndexRelationDescs[i];
        if (!is_key(index, table.type))
            continue;
        const Oid type = index->rd_opcintype[0];
        const Oid equal = get_opfamily_member(index->rd_opfamily[0], type, type, BTEqualStrategyNumber);
        if (!OidIsValid(equal))
            continue;
        ScanKeyEntryInitialize(&table.wanted, 0, 1, BTEqualStrategyNumber, type, index->rd_indcollation[0],
                               get_opcode(equal), 0);
        table.key = index;
        table.key_scan = index_beginscan(table.relation, index, table.snapshot, 1, 0);
    }
}

void close(Table &table)
{
    if (table.key_scan)
        index_endscan(table.key_scan);
    ExecDropSingleTupleTableSlot(table.old_row);
    ExecDropSingleTupleTableSlot(table.new_row);
    ExecCloseIndices(table.target);
    FreeExecutorState(table.estate);
    table_close(table.relation, NoLock);
}

// As the executor opens a table that it writes to. False: the table is not of the kind, or the user may not write to it, which SQL
// will tell him.
bool open(Table &table, Oid oid, KeyType type, AclMode rights)
{
    Relation const relation = table_open(oid, RowExclusiveLock);
    if (!is_as_created(relation, type))
    {
        table_close(relation, NoLock);
        return false;
    }
    table.type = type;
    table.relation = relation;
    table.snapshot = GetActiveSnapshot();
    table.estate = CreateExecutorState();
    table.estate->es_snapshot = table.snapshot;
    MemoryContext const previous = MemoryContextSwitchTo(table.estate->es_query_cxt);
    RangeTblEntry *const entry = makeNode(RangeTblEntry);
    entry->rtekind = RTE_RELATION;
    entry->relid = oid;
    entry->relkind = relation->rd_rel->relkind;
    entry->rellockmode = RowExclusiveLock;
    entry->requiredPerms = rights;
    for (const Attribute column : {attribute_id, attribute_state, attribute_position, attribute_updated_at})
    {
        const int member = column - FirstLowInvalidHeapAttributeNumber;
        entry->selectedCols = bms_add_member(entry->selectedCols, member);
        entry->insertedCols = bms_add_member(entry->insertedCols, member);
        if (column != attribute_id)
            entry->updatedCols = bms_add_member(entry->updatedCols, member);
    }
    List *const range = list_make1(entry);
    ExecInitRangeTable(table.estate, range);
    table.target = makeNode(ResultRelInfo);
    InitResultRelInfo(table.target, relation, 1, nullptr, 0);
    ExecOpenIndices(table.target, false);
    table.blocks = RelationGetNumberOfBlocks(relation);
    table.old_row = table_slot_create(relation, nullptr);
    table.new_row = table_slot_create(relation, nullptr);
    open_key(table);
    MemoryContextSwitchTo(previous);
    table.pruned = InvalidBlockNumber;
    table.now = GetCurrentTransactionStartTimestamp();
    if (ExecCheckRTPerms(range, false) && !has_deferred_checks(table.target))
        return true;
    close(table);
    return false;
}

bool has_id(TupleTableSlot *row, KeyType type, std::string_view id)
{
    bool is_null = false;
    const Datum value = slot_getattr(row, attribute_id, &is_null);
    if (is_null)
        return false;
    // Ids that are large enough are compressed.
    return id_bytes(type, type == KeyType::text ? PointerGetDatum(PG_DETOAST_DATUM_PACKED(value)) : value) == id;
}

// Puts the row of an id into old_row, if the snapshot shows one.
bool look_up(Table &table, std::string_view id)
{
    table.wanted.sk_argument = id_datum(table.type, id);
    // What the scan keeps from one row to the next must outlive the per-tuple context.
    MemoryContext const previous = MemoryContextSwitchTo(table.estate->es_query_cxt);
    index_rescan(table.key_scan, &table.wanted, 1, nullptr, 0);
    const bool found = index_getnext_slot(table.key_scan, ForwardScanDirection, table.old_row);
    MemoryContextSwitchTo(previous);
    return found;
}

// Nobody reads the page by an index before it is written to, so nobody makes room on it: updates would leave it one by one.
void prune(Table &table, BlockNumber block)
{
    if (block == table.pruned)
        return;
    const Buffer buffer = ReadBuffer(table.relation, block);
    heap_page_prune_opt(table.relation, buffer);
    ReleaseBuffer(buffer);
    table.pruned = block;
}

// Puts the row that was last seen at a place into old_row, if it still is there: a visible row with the id is the instance's one
// row, in whatever file the table lies by now.
bool look_at(Table &table, const Entry &entry)
{
    const ItemPointerData &tid = entry.second.tid;
    if (!ItemPointerIsValid(&tid) || ItemPointerGetBlockNumber(&tid) >= table.blocks)
        return false;
    prune(table, ItemPointerGetBlockNumber(&tid));
    ItemPointerData place = tid;
    return table_tuple_fetch_row_version(table.relation, &place, table.snapshot, table.old_row) &&
           has_id(table.old_row, table.type, entry.first);
}

// The row of an entry, checked as the executor does it before it writes one. Lives until the per-tuple context is reset.
void make_row(Table &table, const Entry &entry, TupleTableSlot *row)
{
    ExecClearTuple(row);
    std::fill_n(row->tts_isnull, static_cast<int>(attributes), false);
    row->tts_values[attribute_id - 1] = id_datum(table.type, entry.first);
    row->tts_values[attribute_state - 1] = table.cache->document_of(entry);
    row->tts_values[attribute_position - 1] = Int64GetDatum(entry.second.position);
    row->tts_values[attribute_updated_at - 1] = TimestampTzGetDatum(table.now);
    ExecStoreVirtualTuple(row);
    if (RelationGetDescr(table.relation)->constr)
        ExecConstraints(table.target, row, table.estate);
}

// Replaces the row in old_row. False: it is not behind, or somebody else was faster.
bool update(Table &table, Entry &entry)
{
    bool is_null = false;
    if (DatumGetInt64(slot_getattr(table.old_row, attribute_position, &is_null)) >= entry.second.position)
        return false;
    ItemPointerData place = table.old_row->tts_tid;
    ExecClearTuple(table.old_row);
    make_row(table, entry, table.new_row);
    TM_FailureData failure;
    LockTupleMode mode;
    bool indexed = false;
    if (table_tuple_update(table.relation, &place, table.new_row, table.command, table.snapshot, InvalidSnapshot, true,
                           &failure, &mode, &indexed) != TM_Ok)
        return false;
    if (indexed && table.target->ri_NumIndices > 0)
        ExecInsertIndexTuples(table.target, table.new_row, table.estate, true, false, nullptr, NIL);
    entry.second.tid = table.new_row->tts_tid;
    return true;
}

void insert(Table &table, std::span<Entry *const> entries)
{
    MemoryContext const context = GetPerTupleMemoryContext(table.estate);
    const int slots = static_cast<int>(std::min<size_t>(entries.size(), insert_rows));
    auto *const rows = static_cast<TupleTableSlot **>(palloc(sizeof(TupleTableSlot *) * static_cast<size_t>(slots)));
    for (int i = 0; i < slots; i++)
        rows[i] = table_slot_create(table.relation, nullptr);
    for (size_t from = 0; from < entries.size();)
    {
        CHECK_FOR_INTERRUPTS();
        MemoryContext const previous = MemoryContextSwitchTo(context);
        int count = 0;
        for (size_t bytes = 0;
             count < slots && from + static_cast<size_t>(count) < entries.size() && bytes < insert_bytes; count++)
        {
            const Entry &entry = *entries[from + static_cast<size_t>(count)];
            make_row(table, entry, rows[count]);
            bytes += StateCache::document_size(entry);
        }
        table_multi_insert(table.relation, rows, count, table.command, 0, nullptr);
        MemoryContextSwitchTo(previous);
        for (int i = 0; i < count; i++)
        {
            if (table.target->ri_NumIndices > 0)
                ExecInsertIndexTuples(table.target, rows[i], table.estate, false, false, nullptr, NIL);
            entries[from + static_cast<size_t>(i)]->second.tid = rows[i]->tts_tid;
            ExecClearTuple(rows[i]);
        }
        ResetPerTupleExprContext(table.estate);
        from += static_cast<size_t>(count);
    }
    for (int i = 0; i < slots; i++)
        ExecDropSingleTupleTableSlot(rows[i]);
    pfree(rows);
}

// Rows that are on one page follow each other.
bool by_place(const Entry *a, const Entry *b)
{
    const ItemPointerData &left = a->second.tid;
    const ItemPointerData &right = b->second.tid;
    return std::tuple(ItemPointerGetBlockNumberNoCheck(&left), ItemPointerGetOffsetNumberNoCheck(&left)) <
           std::tuple(ItemPointerGetBlockNumberNoCheck(&right), ItemPointerGetOffsetNumberNoCheck(&right));
}

} // namespace

bool load_rows(Oid oid, KeyType type, std::span<Entry *const> entries, StateCache &cache)
{
    bool done = false;
    pg::call(
        [&]
        {
            Table table;
            if (!open(table, oid, type, ACL_SELECT))
                return;
            done = table.key != nullptr;
            MemoryContext const context = GetPerTupleMemoryContext(table.estate);
            for (Entry *const entry : entries)
            {
                if (!done)
                    break;
                CHECK_FOR_INTERRUPTS();
                ResetPerTupleExprContext(table.estate);
                MemoryContext const previous = MemoryContextSwitchTo(context);
                if (look_up(table, entry->first))
                {
                    slot_getsomeattrs(table.old_row, attribute_position);
                    const struct varlena *const document =
                        PG_DETOAST_DATUM(table.old_row->tts_values[attribute_state - 1]);
                    cache.fill(*entry,
                               {reinterpret_cast<const char *>(document), static_cast<size_t>(VARSIZE(document))},
                               DatumGetInt64(table.old_row->tts_values[attribute_position - 1]));
                    entry->second.tid = table.old_row->tts_tid;
                }
                MemoryContextSwitchTo(previous);
            }
            close(table);
        });
    return done;
}

bool write_rows(Oid oid, KeyType type, const StateCache &cache, std::span<Entry *const> entries, bool &alone,
                std::vector<Entry *> &left)
{
    bool done = false;
    std::vector<Entry *> seen;   // in the order of their places
    std::vector<Entry *> sought; // in the order of their ids, as the caller has them
    std::vector<Entry *> fresh;
    for (Entry *const entry : entries)
        (ItemPointerIsValid(&entry->second.tid) ? seen : sought).push_back(entry);
    std::sort(seen.begin(), seen.end(), by_place);

    pg::call(
        [&]
        {
            // What this transaction did before is seen, and what others have committed.
            CommandCounterIncrement();
            PushActiveSnapshot(GetTransactionSnapshot());
            Table table;
            done = open(table, oid, type, ACL_SELECT | ACL_INSERT | ACL_UPDATE);
            if (done)
            {
                table.cache = &cache;
                alone = alone || table.blocks == 0;
                table.command = GetCurrentCommandId(true);
                MemoryContext const context = GetPerTupleMemoryContext(table.estate);
                const auto replace = [&](Entry *entry, auto &&find)
                {
                    CHECK_FOR_INTERRUPTS();
                    ResetPerTupleExprContext(table.estate);
                    MemoryContext const previous = MemoryContextSwitchTo(context);
                    const bool found = find();
                    if (found && !update(table, *entry))
                        left.push_back(entry);
                    MemoryContextSwitchTo(previous);
                    return found;
                };
                if (!alone || !seen.empty())
                    CheckCmdReplicaIdentity(table.relation, CMD_UPDATE);
                for (Entry *const entry : seen)
                    if (!replace(entry, [&] { return look_at(table, *entry); }))
                        sought.push_back(entry);
                for (Entry *const entry : sought)
                {
                    const bool nowhere = alone && !entry->second.stored;
                    if (!nowhere && !table.key)
                        left.push_back(entry);
                    else if (nowhere || !replace(entry, [&] { return look_up(table, entry->first); }))
                        fresh.push_back(entry);
                }
                if (!fresh.empty())
                    insert(table, fresh);
                close(table);
            }
            PopActiveSnapshot();
            if (done)
                CommandCounterIncrement();
        });
    return done;
}

} // namespace query
