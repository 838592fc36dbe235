#include "source/position_guard.hpp"

#include "pg/locks.hpp"
#include "pg/spi.hpp"
#include "pg/sqlstate.hpp"
#include "pg/text.hpp"
#include "query/catalog.hpp"
#include "query/catalog_rows.hpp"
#include "source/position_floor.hpp"
#include "worker/faults.hpp"

namespace source
{

namespace
{

// Triggers fire in the order of their names: no other one is to change the position afterwards.
std::string row_trigger_name(int32 source_id)
{
    return "zz_readmodel_guard_" + std::to_string(source_id);
}

std::string statement_trigger_name(int32 source_id)
{
    return "readmodel_guard_" + std::to_string(source_id);
}

// Drawing numbers one by one cannot set the sequence back, whoever else draws; that is affordable up to here.
constexpr std::int64_t most_drawn_at_once = 1'000'000;

// What this session knows of a source whose trigger it has fired. In TopMemoryContext, for good.
struct Guard
{
    int32 source_id;
    Guard *next;
    bool stale; // relations were changed
    Oid events;
    Oid sequence;
    NameData position_column;
    Oid relation;                   // the table or partition written to last ..
    AttrNumber column;              // .. and its position column's number
    LocalTransactionId transaction; // the floor was found in this one
    bool has_floor;
    Position floor;
    Position drawn; // a number that the sequence has reached
};

Guard *guards = nullptr;

void on_relation_change(Datum, Oid)
{
    for (Guard *guard = guards; guard; guard = guard->next)
        guard->stale = true;
}

Guard &guard_of(int32 source_id)
{
    for (Guard *guard = guards; guard; guard = guard->next)
        if (guard->source_id == source_id)
            return *guard;
    pg::call(
        [&]
        {
            if (!guards)
                CacheRegisterRelcacheCallback(on_relation_change, 0);
            auto *const guard = static_cast<Guard *>(MemoryContextAllocZero(TopMemoryContext, sizeof(Guard)));
            guard->source_id = source_id;
            guard->stale = true;
            guard->next = guards;
            guards = guard;
        });
    return *guards;
}

void look_up(Guard &guard)
{
    guard.stale = false; // an invalidation during what follows makes it so again
    try
    {
        const query::LatestSnapshot snapshot;
        const std::optional<EventSource> source = query::catalog::find_source(guard.source_id);
        if (!source || !OidIsValid(source->events))
            throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "source " + std::to_string(guard.source_id) + " of this trigger does not exist")
                .hint("Drop the trigger.");
        const Oid sequence = position_sequence(source->events, source->position_column);
        if (!OidIsValid(sequence))
            throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "the positions of source " + pg::shown(source->name) + " come from no sequence any more")
                .hint("Give the position column its sequence back.");
        if (sequence != guard.sequence)
        {
            guard.transaction = InvalidLocalTransactionId;
            guard.drawn = std::numeric_limits<Position>::min();
        }
        guard.sequence = sequence;
        guard.events = source->events;
        namestrcpy(&guard.position_column, source->position_column.c_str());
        guard.relation = InvalidOid;
    }
    catch (...)
    {
        guard.stale = true;
        throw;
    }
}

// As nextval() does: the lock is the top-level transaction's, so that a rollback to a savepoint keeps it.
void lock_sequence(Oid sequence)
{
    pg::call(
        [&]
        {
            const ResourceOwner current = CurrentResourceOwner;
            CurrentResourceOwner = TopTransactionResourceOwner;
            LockRelationOid(sequence, RowExclusiveLock);
            CurrentResourceOwner = current;
        });
}

// The lock first, then the floor: see the proof.
void find_floor(Guard &guard)
{
    if (guard.transaction == MyProc->lxid)
        return;
    const bool since_earlier = pg::holds_lock(guard.sequence, RowExclusiveLock);
    lock_sequence(guard.sequence);
    FAULT_POINT(within_guard);
    MaybePosition floor = floor_of(guard.source_id, since_earlier);
    if (!floor)
        floor = stored_floor(guard.source_id);
    guard.has_floor = floor.has_value();
    guard.floor = floor.value_or(0);
    guard.drawn = std::numeric_limits<Position>::min(); // it may have been set back since
    guard.transaction = MyProc->lxid;
}

// Only the event table itself and its partitions: anybody could hold up the sequence otherwise.
void enter_relation(Guard &guard, Oid relation)
{
    const bool ours = pg::call(
        [&] { return relation == guard.events || list_member_oid(get_partition_ancestors(relation), guard.events); });
    if (!ours)
        throw pg::Error(ERRCODE_WRONG_OBJECT_TYPE,
                        "relation " + pg::relation_name(relation) + " is not the event table of this trigger's source");
    guard.column = pg::call([&] { return get_attnum(relation, NameStr(guard.position_column)); });
    guard.relation = relation;
}

void refuse(const Guard &guard, Position position, Position settled)
{
    throw pg::Error(pg::sqlstate::position_settled, "position " + std::to_string(position) + " of event table " +
                                                        pg::relation_name(guard.events) +
                                                        " is at or below the settled position")
        .detail("Positions up to " + std::to_string(settled) +
                " are settled, or about to be: queries would never read this event.")
        .hint("Let the position be drawn from the sequence, or take one above its last number.");
}

// A number that was drawn before this row can have been passed by since the floor was found, if an event was there that is deleted
// now. One that this transaction has drawn cannot.
void refuse_if_passed(const Guard &guard, Position position)
{
    if (guard.has_floor && position <= guard.floor)
        refuse(guard, position, guard.floor);
    if (position > guard.drawn)
        return;
    const MaybePosition passed = passed_of(guard.source_id);
    if (passed && position <= *passed)
        refuse(guard, position, *passed);
}

// A position above the last number is taken: the sequence must not come to it.
void draw_up_to(Guard &guard, Position position)
{
    if (position <= guard.drawn)
        return;
    guard.drawn = pg::sequence_last_drawn(guard.sequence);
    if (position <= guard.drawn)
        return;
    if (position - guard.drawn > most_drawn_at_once)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "position " + std::to_string(position) + " of event table " + pg::relation_name(guard.events) +
                            " is too far above the last number of its sequence")
            .detail("The last number drawn is " + std::to_string(guard.drawn) + "; at most " +
                    std::to_string(most_drawn_at_once) + " numbers are left out at once.")
            .hint("Move the sequence on with setval(), while nobody appends.");
    guard.drawn = pg::call(
        [&]
        {
            int64 last = 0;
            do
            {
                CHECK_FOR_INTERRUPTS();
                last = nextval_internal(guard.sequence, false);
            } while (last < position);
            return last;
        });
}

void check(Guard &guard, Position position)
{
    refuse_if_passed(guard, position);
    draw_up_to(guard, position);
}

MaybePosition position_in(TupleTableSlot *slot, AttrNumber column)
{
    bool is_null = false;
    const Datum value = slot_getattr(slot, column, &is_null);
    return is_null ? std::nullopt : MaybePosition(DatumGetInt64(value));
}

Datum guard_positions(FunctionCallInfo fcinfo)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw pg::Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "guard_positions() was not called as a trigger");
    const auto *const trigger = reinterpret_cast<const TriggerData *>(fcinfo->context);
    if (trigger->tg_trigger->tgnargs != 1 || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
        TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
        throw pg::Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                        "guard_positions() fires as create_source() made it only");

    Guard &guard = guard_of(std::atoi(trigger->tg_trigger->tgargs[0]));
    if (guard.stale)
        look_up(guard);
    const Oid relation = RelationGetRelid(trigger->tg_relation);
    if (guard.relation != relation)
        enter_relation(guard, relation);
    find_floor(guard);
    if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
        return PointerGetDatum(nullptr);

    if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
    {
        if (const MaybePosition position = position_in(trigger->tg_trigslot, guard.column))
            check(guard, *position);
        return PointerGetDatum(trigger->tg_trigtuple);
    }
    const MaybePosition to = position_in(trigger->tg_newslot, guard.column);
    if (to != position_in(trigger->tg_trigslot, guard.column))
    {
        // Whoever reads may have been there already.
        if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(trigger->tg_trigtuple->t_data)))
            throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "the position of an event cannot be changed after its transaction has ended")
                .detail("Queries may have applied it at its old position, and would apply it again.");
        if (to)
            check(guard, *to);
    }
    return PointerGetDatum(trigger->tg_newtuple);
}

Oid guard_function()
{
    List *const name = list_make2(makeString(pstrdup("readmodel_catalog")), makeString(pstrdup("guard_positions")));
    return LookupFuncName(name, 0, nullptr, true);
}

// Whether one of the table's triggers of this name calls our function, for every session.
bool has_guard(Oid table, const std::string &name)
{
    return pg::call(
        [&]
        {
            const Oid function = guard_function();
            const Relation triggers = table_open(TriggerRelationId, AccessShareLock);
            ScanKeyData keys[2];
            ScanKeyInit(&keys[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
            ScanKeyInit(&keys[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
                        CStringGetDatum(name.c_str()));
            const SysScanDesc scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, nullptr, 2, keys);
            bool found = false;
            const HeapTuple tuple = systable_getnext(scan);
            if (HeapTupleIsValid(tuple))
            {
                const auto *const form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
                found = form->tgfoid == function && form->tgenabled == TRIGGER_FIRES_ALWAYS;
            }
            systable_endscan(scan);
            table_close(triggers, AccessShareLock);
            return found;
        });
}

} // namespace

void create_guard(const EventSource &source)
{
    const std::string table = pg::relation_name(source.events);
    const std::string body =
        " BEFORE INSERT OR UPDATE OF " + pg::quoted(source.position_column) + " ON " + table + " FOR EACH ";
    const std::string call =
        " EXECUTE FUNCTION readmodel_catalog.guard_positions(" + pg::quoted_literal(std::to_string(source.id)) + ")";
    const std::string statement = pg::quoted(statement_trigger_name(source.id));
    const std::string row = pg::quoted(row_trigger_name(source.id));
    pg::execute("CREATE TRIGGER " + statement + body + "STATEMENT" + call);
    pg::execute("CREATE TRIGGER " + row + body + "ROW" + call);
    // Also where session_replication_role is "replica".
    pg::execute("ALTER TABLE " + table + " ENABLE ALWAYS TRIGGER " + statement);
    pg::execute("ALTER TABLE " + table + " ENABLE ALWAYS TRIGGER " + row);
}

void drop_guard(int32 source_id, Oid events)
{
    for (const std::string &name : {statement_trigger_name(source_id), row_trigger_name(source_id)})
        if (pg::call([&] { return OidIsValid(get_trigger_oid(events, name.c_str(), true)); }))
            pg::execute("DROP TRIGGER " + pg::quoted(name) + " ON " + pg::relation_name(events));
}

std::optional<Oid> unguarded_table(const EventSource &source, const std::vector<Oid> &tables)
{
    if (!has_guard(source.events, statement_trigger_name(source.id)))
        return source.events;
    for (const Oid table : tables)
        if (!has_guard(table, row_trigger_name(source.id)))
            return table;
    return std::nullopt;
}

} // namespace source

READMODEL_FUNCTION(readmodel_guard_positions, source::guard_positions);
