// source_status(): what the catalog, the tail worker and the event tables say about the sources.

#include "pg/spi.hpp"
#include "pg/transaction.hpp"
#include "query/catalog.hpp"
#include "query/visibility.hpp"
#include "source/event_source.hpp"
#include "worker/shared.hpp"

namespace source
{

namespace
{

Interval *time_since(TimestampTz start)
{
    auto *const interval = static_cast<Interval *>(palloc0(sizeof(Interval)));
    interval->time = std::max<TimestampTz>(GetCurrentTimestamp() - start, 0);
    return interval;
}

ArrayType *pids_of(const worker::SourceSlot &slot)
{
    Datum pids[worker::max_shown_blockers];
    const int count = std::clamp(slot.blockers, 0, worker::max_shown_blockers);
    for (int i = 0; i < count; i++)
        pids[i] = Int32GetDatum(slot.blocked_by[i]);
    return construct_array(pids, count, INT4OID, sizeof(int32), true, TYPALIGN_INT);
}

struct StatusRow
{
    static constexpr int columns = 10;
    Datum values[columns] = {};
    bool nulls[columns] = {true, true, true, true, true, true, true, true, true, true};

    void set(int column, Datum value)
    {
        values[column] = value;
        nulls[column] = false;
    }
};

void put_row(const ReturnSetInfo *result, const EventSource &source)
{
    const Datum name = pg::text_datum(source.name);
    const MaybePosition head = head_position(source);
    const std::optional<worker::SourceSlot> slot = worker::source_snapshot(source.id);
    pg::call(
        [&]
        {
            StatusRow row;
            row.set(0, name);
            if (OidIsValid(source.events))
                row.set(1, ObjectIdGetDatum(source.events));
            if (head)
                row.set(3, Int64GetDatum(*head));
            if (slot)
            {
                if (slot->settled.known)
                    row.set(2, Int64GetDatum(slot->settled.value));
                if (slot->pending)
                {
                    // Before the first event is settled the hole has no left edge.
                    if (slot->pending_hole != PG_INT64_MIN)
                        row.set(4, Int64GetDatum(slot->pending_hole));
                    row.set(5, PointerGetDatum(pids_of(*slot)));
                    row.set(6, IntervalPGetDatum(time_since(slot->blocked_start)));
                }
                row.set(7, Int64GetDatum(slot->batches));
                row.set(8, Int64GetDatum(slot->lock_lookups));
                row.set(9, Int64GetDatum(slot->events_read));
            }
            tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
        });
}

std::vector<EventSource> all_sources()
{
    const pg::AsUser owner(query::catalog_owner(), false);
    const pg::Spi spi;
    return read_sources();
}

Datum source_status(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const auto *const result = reinterpret_cast<const ReturnSetInfo *>(fcinfo->resultinfo);
    for (const EventSource &source : all_sources())
        if (query::may_see(source.owner)) // a source whose table is gone has no owner
            put_row(result, source);
    return Datum{0};
}

} // namespace

} // namespace source

READMODEL_FUNCTION(readmodel_source_status, source::source_status);
