#include "source/event_reader.hpp"

#include "pg/transaction.hpp"

namespace source
{

namespace
{

int64 lower_bound(const MaybePosition &after)
{
    return after.value_or(std::numeric_limits<Position>::min());
}

int64 upper_bound(const MaybePosition &up_to)
{
    return up_to.value_or(std::numeric_limits<Position>::max());
}

// Taken apart once for all generations of the lane.
// As many as a page may have; the first in any case. False: not all of them.
bool take_apart(const pg::Rows &rows, PageContent &content)
{
    constexpr std::array wide = {query::column_type, query::column_stream, query::column_data, query::column_metadata};
    content.positions.reserve(rows.size());
    content.events.resize(rows.size());
    for (uint64 row = 0; row < rows.size(); row++)
    {
        if (content.bytes() >= most_page_bytes)
            return false;
        query::EventValues &event = content.events[row];
        rows.deform(row, event.values, event.nulls);
        content.positions.push_back(DatumGetInt64(event.values[query::column_position]));
        for (const query::EventColumn column : wide)
            if (!event.nulls[column])
                content.count(toast_raw_datum_size(event.values[column]));
    }
    return true;
}

} // namespace

EventReader::EventReader(const EventSource &event_source)
    : source(event_source),
      page_statement(source.page_query()),
      count_statement("SELECT count(*) FROM (SELECT FROM " + pg::relation_name(source.events) + " WHERE " +
                      pg::quoted(source.position_column) + " > $1 AND " + pg::quoted(source.position_column) +
                      " <= $2 LIMIT $3) AS found"),
      head_statement("SELECT " + pg::quoted(source.position_column) + " FROM " + pg::relation_name(source.events) +
                     " ORDER BY 1 DESC LIMIT 1"),
      hole_statement("SELECT pg_catalog.min(found.at) FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
                     " AS hole (low, high) CROSS JOIN LATERAL (SELECT event." +
                     pg::quoted(source.position_column) + " FROM " + pg::relation_name(source.events) +
                     " AS event WHERE event." + pg::quoted(source.position_column) +
                     " BETWEEN low AND high ORDER BY 1 LIMIT 1)"
                     " AS found (at)")
{
}

template <class F>
auto EventReader::as_owner(F &&f) -> decltype(f())
{
    const pg::AsUser owner(source.owner, true);
    pg::pin_surroundings(source.search_path);
    // Positions come from the index, whatever the statistics of a young table make the planner believe.
    pg::set_local("enable_seqscan", "off");
    pg::set_local("enable_bitmapscan", "off");
    pg::set_local("enable_sort", "off");
    return f();
}

EventPage EventReader::read(const MaybePosition &after, const MaybePosition &up_to, int limit)
{
    return as_owner(
        [&]
        {
            pg::Args args;
            args.bigint(lower_bound(after)).bigint(upper_bound(up_to)).bigint(int64{limit});
            content.clear();
            if (const std::optional<bool> more = scan_directly(page_statement, args, limit, content))
                return EventPage(content, pg::Rows(nullptr, 0), !*more);
            const pg::Rows rows = page_statement.execute(args, true);
            const bool all = take_apart(rows, content);
            return EventPage(content, rows, all && rows.size() < static_cast<uint64>(limit));
        });
}

bool EventReader::more_than(int limit, const MaybePosition &after, const MaybePosition &up_to)
{
    return as_owner(
        [&]
        {
            pg::Args args;
            args.bigint(lower_bound(after)).bigint(upper_bound(up_to)).bigint(int64{limit} + 1);
            pg::Rows rows = count_statement.execute(args, true);
            const bool more = rows.bigint(0, 1).value() > limit;
            rows.free();
            return more;
        });
}

MaybePosition EventReader::first_in(const std::deque<SettledPosition::DeadHole> &holes)
{
    std::vector<Datum> low;
    std::vector<Datum> high;
    for (const SettledPosition::DeadHole &hole : holes)
    {
        low.push_back(Int64GetDatum(hole.first));
        high.push_back(Int64GetDatum(hole.last));
    }
    const auto as_array = [](std::vector<Datum> &values)
    {
        return pg::call(
            [&]
            {
                return PointerGetDatum(construct_array(values.data(), static_cast<int>(values.size()), INT8OID,
                                                       sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
            });
    };
    pg::Args args;
    args.add(INT8ARRAYOID, as_array(low)).add(INT8ARRAYOID, as_array(high));
    return as_owner(
        [&]
        {
            pg::Rows rows = hole_statement.execute(args, true);
            const MaybePosition found = rows.bigint(0, 1);
            rows.free();
            return found;
        });
}

MaybePosition EventReader::head()
{
    return as_owner(
        [&]() -> MaybePosition
        {
            pg::Rows rows = head_statement.execute({}, true);
            const MaybePosition result = rows.empty() ? std::nullopt : rows.bigint(0, 1);
            rows.free();
            return result;
        });
}

} // namespace source
