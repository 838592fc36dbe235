// What has to be true of an event table so that no event can be skipped (event_source.hpp, check_source).
//
// Everything is read from the system catalogs through their caches, without a lock on the event table: create_source
// holds one, the workers look again whenever the catalogs may have changed.

#include "pg/text.hpp"
#include "source/event_source.hpp"
#include "source/position_guard.hpp"

namespace source
{

namespace
{

using MaybeError = std::optional<pg::Error>;

std::string name_of(Oid relation)
{
    const char *name = pg::call([&]() -> const char * { return get_rel_name(relation); });
    return pg::shown(name ? name : "?");
}

struct Column
{
    AttrNumber number; // InvalidAttrNumber: no such column
    Oid type;
    bool not_null;
    char identity;
    bool has_default;
};

Column find_column(Oid table, const char *name)
{
    Column column{};
    const HeapTuple tuple = SearchSysCacheAttName(table, name);
    if (!HeapTupleIsValid(tuple))
        return column;
    const auto *const form = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));
    column = {form->attnum, form->atttypid, form->attnotnull, form->attidentity, form->atthasdef};
    ReleaseSysCache(tuple);
    return column;
}

Node *default_expression(Oid table, AttrNumber column)
{
    const Relation defaults = table_open(AttrDefaultRelationId, AccessShareLock);
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], Anum_pg_attrdef_adrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
    ScanKeyInit(&keys[1], Anum_pg_attrdef_adnum, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(column));
    const SysScanDesc scan = systable_beginscan(defaults, AttrDefaultIndexId, true, nullptr, 2, keys);
    Node *expression = nullptr;
    const HeapTuple tuple = systable_getnext(scan);
    if (HeapTupleIsValid(tuple))
    {
        bool is_null = false;
        const Datum source = heap_getattr(tuple, Anum_pg_attrdef_adbin, RelationGetDescr(defaults), &is_null);
        if (!is_null)
            expression = static_cast<Node *>(stringToNode(TextDatumGetCString(source)));
    }
    systable_endscan(scan);
    table_close(defaults, AccessShareLock);
    return expression;
}

// The sequence of a default that is nextval('sequence') and nothing else: arithmetic on the number, or a name that is
// looked up at run time, would say nothing about which lock proves it.
Oid sequence_of_default(Oid table, AttrNumber column)
{
    const Node *const expression = default_expression(table, column);
    if (!expression || !IsA(expression, FuncExpr))
        return InvalidOid;
    const auto *const call = reinterpret_cast<const FuncExpr *>(expression);
    if (call->funcid != F_NEXTVAL || list_length(call->args) != 1 || !IsA(linitial(call->args), Const))
        return InvalidOid;
    const Const *const argument = static_cast<const Const *>(linitial(call->args));
    return argument->consttype == REGCLASSOID && !argument->constisnull ? DatumGetObjectId(argument->constvalue)
                                                                        : InvalidOid;
}

Oid sequence_of(Oid table, const Column &column)
{
    if (column.number <= 0)
        return InvalidOid;
    if (column.identity)
        return getIdentitySequence(table, column.number, true);
    return column.has_default ? sequence_of_default(table, column.number) : InvalidOid;
}

// The table and everything that a SELECT from it reads too.
std::vector<Oid> table_and_children(Oid table)
{
    const List *const found = pg::call([&]() -> const List * { return find_all_inheritors(table, NoLock, nullptr); });
    std::vector<Oid> all;
    all.reserve(static_cast<size_t>(list_length(found)));
    for (int i = 0; i < list_length(found); i++)
        all.push_back(list_nth_oid(found, i));
    return all;
}

pg::Error cannot_be_event_table(Oid relation)
{
    return pg::Error(ERRCODE_WRONG_OBJECT_TYPE, "relation " + name_of(relation) + " cannot be an event table");
}

MaybeError check_kind(Oid root, Oid relation)
{
    const char kind = pg::call([&] { return get_rel_relkind(relation); });
    const char *of = relation == root ? "It" : "A partition or child table of it";
    if (relation != root && kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        return cannot_be_event_table(root)
            .detail("Its partition or child table " + name_of(relation) + " is a foreign table.")
            .hint("Positions are proved by locks of this server: all events have to be stored here.");
    switch (kind)
    {
    case RELKIND_RELATION:
    case RELKIND_PARTITIONED_TABLE:
        break;
    case RELKIND_VIEW:
        return cannot_be_event_table(root).detail("It is a view.").hint("Register the table that the view reads.");
    case RELKIND_MATVIEW:
        return cannot_be_event_table(root)
            .detail("It is a materialized view.")
            .hint("Register the table that the view reads.");
    case RELKIND_FOREIGN_TABLE:
        return cannot_be_event_table(root)
            .detail("It is a foreign table.")
            .hint("Positions are proved by locks of this server: register the table on its own server.");
    default:
        return cannot_be_event_table(root)
            .detail("It is no table.")
            .hint("Register an ordinary or a partitioned table.");
    }

    switch (pg::call([&] { return get_rel_persistence(relation); }))
    {
    case RELPERSISTENCE_TEMP:
        return cannot_be_event_table(root)
            .detail(std::string(of) + " is temporary: no other session can read it.")
            .hint("Use a permanent table.");
    case RELPERSISTENCE_UNLOGGED:
        return cannot_be_event_table(root)
            .detail(std::string(of) + " is unlogged: a crash would empty it under the read models.")
            .hint("Make it permanent: ALTER TABLE .. SET LOGGED.");
    default:
        return std::nullopt;
    }
}

MaybeError check_column(const EventSource &source, const Column &column)
{
    const std::string shown = pg::shown(source.position_column);
    if (column.number == InvalidAttrNumber)
        return pg::Error(ERRCODE_UNDEFINED_COLUMN,
                         "column " + shown + " of table " + name_of(source.events) + " does not exist")
            .detail("The argument \"position_column\" names no column of the table.")
            .hint("Name the bigint column that orders the events.");
    if (column.number < 0)
        return pg::Error(ERRCODE_INVALID_COLUMN_REFERENCE,
                         "column " + shown + " of table " + name_of(source.events) + " cannot be the position column")
            .detail("It is a system column.")
            .hint("Name the bigint column that orders the events.");
    if (column.type != INT8OID)
    {
        const char *const type = pg::call([&]() -> const char * { return format_type_be(column.type); });
        return pg::Error(ERRCODE_DATATYPE_MISMATCH,
                         "position column " + shown + " of table " + name_of(source.events) + " must be of type bigint")
            .detail("It is of type " + std::string(type) + ".")
            .hint("Change it: ALTER TABLE .. ALTER COLUMN .. TYPE bigint.");
    }
    return std::nullopt;
}

pg::Error unusable_position(const EventSource &source, const std::string &why)
{
    return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "position column " + pg::shown(source.position_column) +
                                                                   " of table " + name_of(source.events) + " " + why);
}

struct SequenceOptions
{
    bool found;
    int64 increment;
    int64 cache;
    bool cycles;
    char persistence;
};

SequenceOptions options_of(Oid sequence)
{
    SequenceOptions options{};
    const HeapTuple tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
    if (!HeapTupleIsValid(tuple))
        return options;
    const auto *const form = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple));
    options = {true, form->seqincrement, form->seqcache, form->seqcycle, '\0'};
    ReleaseSysCache(tuple);
    const HeapTuple relation = SearchSysCache1(RELOID, ObjectIdGetDatum(sequence));
    if (!HeapTupleIsValid(relation))
        return SequenceOptions{};
    options.persistence = reinterpret_cast<Form_pg_class>(GETSTRUCT(relation))->relpersistence;
    ReleaseSysCache(relation);
    return options;
}

MaybeError check_sequence_options(Oid sequence)
{
    const SequenceOptions options = pg::call([&] { return options_of(sequence); });
    const auto refused = [&](const std::string &detail, const std::string &hint)
    {
        return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                         "sequence " + name_of(sequence) + " cannot give positions of an event table")
            .detail(std::string(detail))
            .hint(std::string(hint));
    };
    const std::string alter = "Use ALTER SEQUENCE " + pg::relation_name(sequence);
    if (!options.found)
        return refused("It is gone or is no sequence.", "Give the position column an identity.");
    if (options.cache > 1)
        return refused("Its CACHE is " + std::to_string(options.cache) +
                           ": sessions would use numbers that they drew in an earlier transaction.",
                       alter + " CACHE 1, and end the sessions that still hold numbers.");
    if (options.increment != 1)
        return refused("Its INCREMENT is " + std::to_string(options.increment) + ", not 1.",
                       alter + " INCREMENT BY 1.");
    if (options.cycles)
        return refused("It has CYCLE: numbers would come again.", alter + " NO CYCLE.");
    if (options.persistence != RELPERSISTENCE_PERMANENT)
        return refused("It is not permanent: a crash would reset it.", "Use a permanent sequence.");
    return std::nullopt;
}

MaybeError no_sequence(const EventSource &source)
{
    return unusable_position(source, "draws from no sequence")
        .detail("Without a sequence nobody can prove that no transaction will still commit an event below a position.")
        .hint(
            "Make it GENERATED ALWAYS AS IDENTITY or give it a default of nextval('..'); settle => 'gap_timeout' goes "
            "without, but is a heuristic that can skip events.");
}

// One sequence for the whole tree: partitions that are written to directly use their own defaults.
MaybeError check_sequence(const EventSource &source, const std::vector<Oid> &tables)
{
    const char *const name = source.position_column.c_str();
    const Oid sequence = pg::call([&] { return sequence_of(source.events, find_column(source.events, name)); });
    if (!OidIsValid(sequence))
        return no_sequence(source);
    if (OidIsValid(source.sequence) && source.sequence != sequence)
        return unusable_position(source, "draws from another sequence than before")
            .detail("It was " + name_of(source.sequence) + " and is " + name_of(sequence) + " now.");
    if (MaybeError error = check_sequence_options(sequence))
        return error;
    for (const Oid table : tables)
    {
        const Column column = pg::call([&] { return find_column(table, name); });
        const bool has_own = column.identity || column.has_default;
        if (has_own && pg::call([&] { return sequence_of(table, column); }) != sequence)
            return unusable_position(source, "draws from more than one sequence")
                .detail("The default of partition or child table " + name_of(table) + " is not nextval of sequence " +
                        name_of(sequence) + ".")
                .hint("Drop that default or let it be the same.");
    }
    return std::nullopt;
}

// Whether the table is fed by logical replication.
bool is_subscribed(Oid table)
{
    CatCList *const list = SearchSysCacheList1(SUBSCRIPTIONRELMAP, ObjectIdGetDatum(table));
    const bool found = list->n_members > 0;
    ReleaseSysCacheList(list);
    return found;
}

MaybeError check_subscription(const EventSource &source, const Column &column, const std::vector<Oid> &tables)
{
    for (const Oid table : tables)
        if (!column.identity && pg::call([&] { return is_subscribed(table); }))
            return unusable_position(source, "must be an identity column of this server")
                .detail("A subscription fills table " + name_of(table) +
                        ": the publisher's numbers arrive in the order of its commits, not in their own.")
                .hint("Add a bigint GENERATED ALWAYS AS IDENTITY column here, leave it out of the publication's "
                      "columns, and "
                      "name it as position_column.");
    return std::nullopt;
}

enum class IndexState
{
    none,
    invalid,
    partial,
    wrong_order,
    good,
};

bool is_btree(Oid index)
{
    const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
    if (!HeapTupleIsValid(tuple))
        return false;
    const Oid method = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relam;
    ReleaseSysCache(tuple);
    return method == BTREE_AM_OID;
}

// The best that the table has for reading in position order.
IndexState index_on(Oid table, AttrNumber column)
{
    const Relation indexes = table_open(IndexRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
    const SysScanDesc scan = systable_beginscan(indexes, IndexIndrelidIndexId, true, nullptr, 1, &key);
    IndexState best = IndexState::none;
    HeapTuple tuple;
    while (HeapTupleIsValid(tuple = systable_getnext(scan)))
    {
        const auto *const form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
        if (form->indnkeyatts < 1 || form->indkey.values[0] != column || !is_btree(form->indexrelid))
            continue;
        bool is_null = false;
        const Datum options = heap_getattr(tuple, Anum_pg_index_indoption, RelationGetDescr(indexes), &is_null);
        // indoption is never null; NOLINTNEXTLINE(clang-analyzer-core.NullDereference)
        const int16 order = reinterpret_cast<int2vector *>(DatumGetPointer(options))->values[0];
        IndexState state = IndexState::good;
        if (!form->indisvalid || !form->indisready || !form->indislive)
            state = IndexState::invalid;
        else if (!heap_attisnull(tuple, Anum_pg_index_indpred, nullptr))
            state = IndexState::partial;
        else if (order != 0 && order != (INDOPTION_DESC | INDOPTION_NULLS_FIRST)) // neither direction gives NULLS LAST
            state = IndexState::wrong_order;
        best = std::max(best, state);
    }
    systable_endscan(scan);
    table_close(indexes, AccessShareLock);
    return best;
}

MaybeError check_indexes(const EventSource &source, const std::vector<Oid> &tables)
{
    for (const Oid table : tables)
    {
        const IndexState state =
            pg::call([&] { return index_on(table, get_attnum(table, source.position_column.c_str())); });
        if (state == IndexState::good)
            continue;
        const bool partitioned = pg::call([&] { return get_rel_relkind(table); }) == RELKIND_PARTITIONED_TABLE;
        std::string detail = "There is no B-tree index that leads with this column.";
        if (state == IndexState::invalid)
            detail = partitioned ? "The index that leads with this column is not valid: a partition lacks it."
                                 : "The index that leads with this column is not valid.";
        else if (state == IndexState::partial)
            detail = "The index that leads with this column is partial.";
        else if (state == IndexState::wrong_order)
            detail = "The index that leads with this column sorts nulls in another order.";
        std::string hint = std::string("Use CREATE INDEX ") + (partitioned ? "" : "CONCURRENTLY ") + "ON " +
                           pg::relation_name(table) + " (" + pg::quoted(source.position_column) + ").";
        return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                         "table " + name_of(table) + " cannot be read in the order of position column " +
                             pg::shown(source.position_column))
            .detail(std::move(detail))
            .hint(std::move(hint));
    }
    return std::nullopt;
}

// Whether a position can be taken only once.
bool is_unique(Oid table, AttrNumber column)
{
    const Relation indexes = table_open(IndexRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
    const SysScanDesc scan = systable_beginscan(indexes, IndexIndrelidIndexId, true, nullptr, 1, &key);
    bool found = false;
    HeapTuple tuple;
    while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
    {
        const auto *const form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
        found = form->indisunique && form->indisvalid && form->indisready && form->indislive &&
                form->indnkeyatts == 1 && form->indkey.values[0] == column &&
                heap_attisnull(tuple, Anum_pg_index_indpred, nullptr);
    }
    systable_endscan(scan);
    table_close(indexes, AccessShareLock);
    return found;
}

// What the trigger of a guarded source needs (position_guard.hpp).
MaybeError check_guard(const EventSource &source, const std::vector<Oid> &tables)
{
    if (!pg::call([&] { return is_unique(source.events, get_attnum(source.events, source.position_column.c_str())); }))
        return unusable_position(source, "must be unique")
            .detail("With settle => 'guarded' positions can be given by hand: a run of events is settled because its "
                    "positions are taken.")
            .hint("Add a unique index on this column alone.");
    for (const Oid table : tables)
        if (table != source.events && !pg::call([&] { return get_rel_relispartition(table); }))
            return cannot_be_event_table(source.events)
                .detail("Table " + name_of(table) +
                        " inherits from it, but not its triggers, which settle => "
                        "'guarded' rests on.")
                .hint("Use a partitioned table.");
    if (source.id == 0)
        return std::nullopt; // create_source makes the triggers with the row
    if (const std::optional<Oid> table = unguarded_table(source, tables))
        return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                         "a trigger that guards the positions of table " + name_of(*table) + " is missing or disabled")
            .detail("Without it an event can be inserted at a position that queries have passed.")
            .hint("Use ALTER TABLE .. ENABLE ALWAYS TRIGGER .. for the triggers whose names contain "
                  "readmodel_guard; where one was dropped, make the source anew.");
    return std::nullopt;
}

// Workers read as the owner of the table.
MaybeError check_rights(const EventSource &source)
{
    struct Rights
    {
        bool select;
        bool usage;
        bool row_security;
        const char *owner;
        const char *schema;
    };
    const Rights rights = pg::call(
        [&]
        {
            const Oid schema = get_rel_namespace(source.events);
            return Rights{pg_class_aclcheck(source.events, source.owner, ACL_SELECT) == ACLCHECK_OK,
                          pg_namespace_aclcheck(schema, source.owner, ACL_USAGE) == ACLCHECK_OK,
                          check_enable_rls(source.events, source.owner, true) == RLS_ENABLED,
                          GetUserNameFromId(source.owner, true), get_namespace_name(schema)};
        });
    const std::string owner = pg::shown(rights.owner ? rights.owner : "?");
    const std::string who = "Events are read with the rights of the table's owner, " + owner;
    if (rights.row_security)
        return pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                         "row-level security would hide events of table " + name_of(source.events))
            .detail(who + ", to whom the policies apply.")
            .hint("Use ALTER TABLE .. NO FORCE ROW LEVEL SECURITY.");
    if (!rights.select)
        return pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for table " + name_of(source.events))
            .detail(who + ", who may not SELECT from it.")
            .hint("Use GRANT SELECT.");
    if (!rights.usage)
        return pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                         "permission denied for schema " + pg::shown(rights.schema ? rights.schema : "?"))
            .detail(who + ", who has no USAGE on the schema.")
            .hint("Use GRANT USAGE ON SCHEMA.");
    return std::nullopt;
}

} // namespace

Oid position_sequence(Oid events, const std::string &position_column)
{
    return pg::call([&] { return sequence_of(events, find_column(events, position_column.c_str())); });
}

std::optional<pg::Error> check_source(const EventSource &source)
{
    if (!OidIsValid(source.events) ||
        !pg::call([&] { return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source.events)); }))
        return pg::Error(ERRCODE_UNDEFINED_TABLE,
                         "the event table of source " + pg::shown(source.name) + " does not exist")
            .detail("It was dropped.")
            .hint("Drop the source with readmodel.drop_source().");

    const std::vector<Oid> tables = table_and_children(source.events);
    for (const Oid table : tables)
        if (MaybeError error = check_kind(source.events, table))
            return error;
    const Column column = pg::call([&] { return find_column(source.events, source.position_column.c_str()); });
    if (MaybeError error = check_column(source, column))
        return error;
    if (MaybeError error = check_subscription(source, column, tables))
        return error;
    if (source.settle != Settle::gap_timeout)
    {
        if (MaybeError error = check_sequence(source, tables))
            return error;
    }
    else if (!column.not_null)
        return unusable_position(source, "may be null")
            .detail("Events without a position would never be read.")
            .hint("Use ALTER TABLE .. ALTER COLUMN .. SET NOT NULL.");
    if (MaybeError error = check_indexes(source, tables))
        return error;
    if (source.settle == Settle::guarded)
        if (MaybeError error = check_guard(source, tables))
            return error;
    return check_rights(source);
}

} // namespace source
