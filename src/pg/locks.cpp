#include "pg/locks.hpp"

#include "pg/transaction.hpp"

namespace pg
{

namespace
{

LOCKTAG relation_tag(Oid relation)
{
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
    return tag;
}

} // namespace

std::vector<LockHolder> conflicting_holders(Oid relation, LOCKMODE mode)
{
    const LOCKTAG tag = relation_tag(relation);
    int count = 0;
    VirtualTransactionId *const found = call([&] { return GetLockConflicts(&tag, mode, &count); });
    std::vector<LockHolder> holders(static_cast<size_t>(count));
    for (int i = 0; i < count; i++)
        holders[static_cast<size_t>(i)].vxid = found[i];
    if (!RecoveryInProgress())
        pfree(found);
    return holders;
}

bool has_ended(const LockHolder &holder)
{
    return call([&] { return VirtualXactLock(holder.vxid, false); });
}

int process_of(const LockHolder &holder)
{
    return call(
        [&]
        {
            if (holder.vxid.backendId == InvalidBackendId)
                return 0;
            const PGPROC *const proc = BackendIdGetProc(holder.vxid.backendId);
            if (!proc || proc->lxid != holder.vxid.localTransactionId)
                return 0; // prepared, or just ended
            return proc->pid;
        });
}

TimestampTz transaction_start_of(int pid)
{
    return call(
        [&]
        {
            TimestampTz started = 0;
            const int entries = pgstat_fetch_stat_numbackends();
            for (int i = 1; i <= entries; i++)
            {
                const LocalPgBackendStatus *const entry = pgstat_fetch_stat_local_beentry(i);
                if (entry && entry->backendStatus.st_procpid == pid)
                    started = entry->backendStatus.st_xact_start_timestamp;
            }
            pgstat_clear_backend_activity_snapshot();
            return started;
        });
}

namespace
{

std::vector<Oid> with_inheritors(Oid relation, LOCKMODE mode)
{
    const List *const found = call(
        [&]
        {
            if (mode != NoLock)
                LockRelationOid(relation, mode);
            if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
                ereport(ERROR,
                        (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
            // Most event tables have no partitions: spare them the scan of pg_inherits.
            if (!has_subclass(relation))
                return list_make1_oid(relation);
            return find_all_inheritors(relation, mode, nullptr);
        });
    std::vector<Oid> result;
    result.reserve(static_cast<size_t>(list_length(found)));
    for (int i = 0; i < list_length(found); i++)
        result.push_back(list_nth_oid(found, i));
    return result;
}

} // namespace

std::vector<Oid> lock_with_inheritors(Oid relation, LOCKMODE mode)
{
    return with_inheritors(relation, mode);
}

std::vector<Oid> inheritors(Oid relation)
{
    return with_inheritors(relation, NoLock);
}

LockAttempt try_lock(Oid relation, LOCKMODE mode)
{
    return call(
        [&]
        {
            if (!ConditionalLockRelationOid(relation, mode))
                return LockAttempt::busy;
            return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)) ? LockAttempt::locked : LockAttempt::gone;
        });
}

bool lock_unless_gone(Oid relation, LOCKMODE mode)
{
    return call(
        [&]
        {
            LockRelationOid(relation, mode);
            return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation));
        });
}

void lock_within(Oid relation, LOCKMODE mode, int milliseconds)
{
    const AsUser settings(GetUserId(), false); // for the setting alone
    set_local("lock_timeout", std::to_string(milliseconds).c_str());
    call([&] { LockRelationOid(relation, mode); });
}

int blocker_of(Oid relation, LOCKMODE mode)
{
    for (const LockHolder &holder : conflicting_holders(relation, mode))
        if (const int pid = process_of(holder))
            return pid;
    return 0;
}

bool holds_lock(Oid relation, LOCKMODE mode)
{
    return call(
        [&]
        {
            const LOCKTAG tag = relation_tag(relation);
            return LockHeldByMe(&tag, mode);
        });
}

Oid file_of(Oid relation)
{
    return call(
        [&]
        {
            Oid file = InvalidOid;
            HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
            if (HeapTupleIsValid(tuple))
            {
                file = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relfilenode;
                ReleaseSysCache(tuple);
            }
            return file;
        });
}

bool database_is_wanted(Oid database)
{
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
    int count = 0;
    // A session that starts takes RowExclusiveLock on its database: what conflicts with that keeps sessions out.
    VirtualTransactionId *const found = call([&] { return GetLockConflicts(&tag, RowExclusiveLock, &count); });
    pfree(found);
    return count > 0;
}

int64 sequence_last_drawn(Oid sequence)
{
    return call(
        [&]
        {
            const Relation relation = relation_open(sequence, AccessShareLock);
            if (relation->rd_rel->relkind != RELKIND_SEQUENCE)
                ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                                errmsg("\"%s\" is not a sequence", RelationGetRelationName(relation))));
            const Buffer buffer = ReadBuffer(relation, 0);
            LockBuffer(buffer, BUFFER_LOCK_SHARE);
            const Page page = BufferGetPage(buffer);
            HeapTupleData tuple;
            tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, PageGetItemId(page, FirstOffsetNumber)));
            const auto *const data = reinterpret_cast<Form_pg_sequence_data>(GETSTRUCT(&tuple));
            const int64 last = data->is_called ? data->last_value : data->last_value - 1;
            UnlockReleaseBuffer(buffer);
            relation_close(relation, NoLock);
            return last;
        });
}

} // namespace pg
