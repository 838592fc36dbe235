#include "query/state_table_form.hpp"

namespace query
{

namespace
{

bool has_column(TupleDesc descriptor, Attribute attribute, Oid type)
{
    const FormData_pg_attribute *const column = TupleDescAttr(descriptor, attribute - 1);
    return !column->attisdropped && column->atttypid == type && !column->attgenerated && column->attnotnull;
}

} // namespace

bool is_as_created(Relation table, KeyType type)
{
    const FormData_pg_class *const form = table->rd_rel;
    TupleDesc const descriptor = RelationGetDescr(table);
    return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID && !form->relispartition &&
           !form->relhassubclass && !form->relrowsecurity && !table->trigdesc && !table->rd_rules &&
           descriptor->natts == attributes && has_column(descriptor, attribute_id, type_oid(type)) &&
           has_column(descriptor, attribute_state, JSONBOID) && has_column(descriptor, attribute_position, INT8OID) &&
           has_column(descriptor, attribute_updated_at, TIMESTAMPTZOID);
}

// Bytes are compared, so a column of text that was given another collation is no key for them.
bool is_key(Relation index, KeyType type)
{
    const FormData_pg_index *const form = index->rd_index;
    return form->indisunique && form->indisvalid && form->indisready && form->indislive && !form->indcheckxmin &&
           form->indnkeyatts == 1 && form->indkey.values[0] == attribute_id && index->rd_rel->relam == BTREE_AM_OID &&
           !RelationGetIndexPredicate(index) && (type != KeyType::text || index->rd_indcollation[0] == C_COLLATION_OID);
}

} // namespace query
