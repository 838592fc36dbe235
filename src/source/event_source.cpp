#include "source/event_source.hpp"

#include "pg/spi.hpp"
#include "pg/transaction.hpp"

namespace source
{

namespace
{

// As the catalog's column `settle` has them.
Settle settle_of(const std::string &text)
{
    if (text == "guarded")
        return Settle::guarded;
    if (text == "gap_timeout")
        return Settle::gap_timeout;
    return Settle::sequence;
}

// The newline ends a comment at the end of the user's text.
std::string cast(const std::optional<std::string> &expression, const char *type)
{
    return expression ? "(" + *expression + "\n)::pg_catalog." + type : std::string("NULL::pg_catalog.") + type;
}

// How long a status function waits for a table that is being altered.
constexpr const char *head_lock_timeout = "20ms";

} // namespace

std::string EventSource::page_query() const
{
    const std::string table = pg::relation_name(events);
    // Written with the table's name everywhere: ORDER BY would take a bare name for an output column first.
    const std::string position = table + "." + pg::quoted(position_column);
    return "SELECT " + position + "::pg_catalog.int8, " + cast(type_expression, "text") + ", " +
           cast(stream_expression, "text") + ", " + cast(data_expression, "jsonb") + ", " +
           cast(metadata_expression, "jsonb") + ", " + cast(occurred_at_expression, "timestamptz") + " FROM " + table +
           " WHERE " + position + " OPERATOR(pg_catalog.>) $1 AND " + position +
           " OPERATOR(pg_catalog.<=) $2 ORDER BY " + position + " LIMIT $3";
}

std::string source_stamp(Oid events)
{
    return std::to_string(GetSystemIdentifier()) + "/" + std::to_string(MyDatabaseId) + "/" + std::to_string(events);
}

std::vector<EventSource> read_sources()
{
    // The joins turn what is gone into NULL.
    const pg::Rows rows = pg::execute(
        "SELECT s.source_id, s.name, e.oid, e.relowner, m.oid, s.position_column::pg_catalog.text, s.type_expression,"
        " s.stream_expression, s.data_expression, s.metadata_expression, s.occurred_at_expression, s.settle, "
        "s.search_path,"
        " s.stamp"
        " FROM readmodel_catalog.source s"
        " LEFT JOIN pg_catalog.pg_class e ON e.oid OPERATOR(pg_catalog.=) s.events"
        " LEFT JOIN pg_catalog.pg_class m ON m.oid OPERATOR(pg_catalog.=) s.marker"
        " ORDER BY s.name",
        {}, true);
    std::vector<EventSource> sources(rows.size());
    for (uint64 row = 0; row < rows.size(); row++)
    {
        EventSource &source = sources[row];
        source.id = rows.integer(row, 1).value();
        source.name = rows.text(row, 2).value();
        source.events = rows.oid(row, 3);
        source.owner = rows.oid(row, 4);
        source.marker = rows.oid(row, 5);
        source.position_column = rows.text(row, 6).value();
        source.type_expression = rows.text(row, 7).value();
        source.stream_expression = rows.text(row, 8).value();
        source.data_expression = rows.text(row, 9).value();
        source.metadata_expression = rows.text(row, 10);
        source.occurred_at_expression = rows.text(row, 11);
        source.settle = settle_of(rows.text(row, 12).value());
        source.search_path = rows.text(row, 13).value();
        // Of a table that is gone there is nothing to compare: check_source() says that it is.
        source.restored = OidIsValid(source.events) && rows.text(row, 14).value() != source_stamp(source.events);
        if (OidIsValid(source.events) && source.settle != Settle::gap_timeout)
            source.sequence = position_sequence(source.events, source.position_column);
    }
    return sources;
}

std::vector<EventSource> load_sources()
{
    const pg::Spi spi;
    const pg::FreshSnapshot snapshot;
    return read_sources();
}

std::optional<MaybePosition> readable_head(const EventSource &source)
{
    if (!OidIsValid(source.events))
        return std::nullopt;
    std::optional<MaybePosition> head;
    const auto read = [&]
    {
        const pg::AsUser owner(source.owner, true);
        pg::set_local("search_path", "pg_catalog, pg_temp");
        pg::set_local("row_security", "off");
        pg::set_local("lock_timeout", head_lock_timeout);
        const std::string table = pg::relation_name(source.events);
        if (table.empty())
            return;
        const std::string position = pg::quoted(source.position_column);
        const pg::Spi spi;
        // Cheaper to plan than max(). A position may be null where a sequence fills it.
        const pg::Rows rows = pg::execute("SELECT " + position + " FROM " + table + " WHERE " + position +
                                              " IS NOT NULL ORDER BY " + position + " DESC LIMIT 1",
                                          {}, true);
        head = rows.empty() ? std::nullopt : rows.bigint(0, 1);
    };
    const std::optional<pg::PgError> error = pg::attempt(true, read);
    if (!error)
        return head;
    // The session was asked to stop, or has no room: that is not the table's fault.
    const int category = ERRCODE_TO_CATEGORY(error->sqlstate());
    if (category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
        category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
        category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR))
        throw *error;
    return std::nullopt;
}

MaybePosition head_position(const EventSource &source)
{
    return readable_head(source).value_or(std::nullopt);
}

} // namespace source
