#include "query/state_lookup.hpp"

#include "query/state_table_form.hpp"

namespace query
{

namespace
{

// Plain memory: an error jumps over it.
struct Found
{
    bool tried = false;
    bool there = false;
    StateRow row = {};
};

Datum attribute(TupleTableSlot *slot, Attribute number)
{
    bool is_null = false; // none of them can be
    return slot_getattr(slot, number, &is_null);
}

void look_up(Relation table, Relation index, Datum id, Found &found)
{
    const Oid type = index->rd_opcintype[0];
    const Oid equal = get_opfamily_member(index->rd_opfamily[0], type, type, BTEqualStrategyNumber);
    if (!OidIsValid(equal))
        return;
    ScanKeyData wanted;
    ScanKeyEntryInitialize(&wanted, 0, 1, BTEqualStrategyNumber, type, index->rd_indcollation[0], get_opcode(equal),
                           id);
    const IndexScanDesc scan = index_beginscan(table, index, GetActiveSnapshot(), 1, 0);
    TupleTableSlot *const slot = table_slot_create(table, nullptr);
    index_rescan(scan, &wanted, 1, nullptr, 0);
    found.tried = true;
    found.there = index_getnext_slot(scan, ForwardScanDirection, slot);
    if (found.there)
        found.row = {PointerGetDatum(PG_DETOAST_DATUM_COPY(attribute(slot, attribute_state))),
                     DatumGetInt64(attribute(slot, attribute_position)),
                     DatumGetTimestampTz(attribute(slot, attribute_updated_at))};
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
}

} // namespace

bool look_up_state(Oid table, Oid owner, KeyType type, Datum id, std::optional<StateRow> &row)
{
    const Found found = pg::call(
        [&]
        {
            Found result;
            // As through the view, whose owner is asked for the right.
            if (pg_class_aclcheck(table, owner, ACL_SELECT) != ACLCHECK_OK)
                return result;
            const Relation relation = table_open(table, NoLock);
            const Oid key = is_as_created(relation, type) ? RelationGetPrimaryKeyIndex(relation) : InvalidOid;
            if (OidIsValid(key))
            {
                const Relation index = index_open(key, AccessShareLock);
                if (is_key(index, type))
                    look_up(relation, index, id, result);
                index_close(index, NoLock);
            }
            table_close(relation, NoLock);
            return result;
        });
    if (found.there)
        row = found.row;
    return found.tried;
}

} // namespace query
