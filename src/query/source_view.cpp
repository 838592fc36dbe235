#include "query/source_view.hpp"

#include "pg/spi.hpp"
#include "pg/transaction.hpp"

namespace query
{

namespace
{

// A lock on the table is told by the lane that meets it; here it may not hold up the answer.
constexpr const char *longest_wait = "20ms";

// One statement as the owner of the event table, under the active snapshot. `found`: the first column of its first row.
struct Answer
{
    bool given = false;
    std::optional<int64> found;
};

Answer ask(const source::EventSource &source, const std::string &sql, const pg::Args &args)
{
    Answer answer;
    if (!OidIsValid(source.events))
        return answer;
    const std::optional<pg::PgError> error = pg::attempt(true,
                                                         [&]
                                                         {
                                                             const pg::AsUser user(source.owner, true);
                                                             pg::pin_surroundings(source.search_path);
                                                             pg::set_local("lock_timeout", longest_wait);
                                                             const pg::Spi spi;
                                                             const pg::Rows rows = pg::execute(sql, args, true, 1);
                                                             if (!rows.empty())
                                                                 answer.found = rows.bigint(0, 1);
                                                             answer.given = true;
                                                         });
    if (!error)
        return answer;
    // The session was asked to stop, or has no room: that is not the table's fault.
    const int category = ERRCODE_TO_CATEGORY(error->sqlstate());
    if (category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
        category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
        category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR))
        throw *error;
    return {};
}

} // namespace

MaybePosition first_position(const source::EventSource &source)
{
    const std::string table = pg::relation_name(source.events);
    return ask(source, "SELECT pg_catalog.min(" + pg::quoted(source.position_column) + ") FROM " + table, {}).found;
}

std::optional<bool> has_event_after(const source::EventSource &source, const MaybePosition &position,
                                    const std::optional<std::vector<std::string>> &event_types)
{
    pg::Args args;
    const std::string table = pg::relation_name(source.events);
    const std::string column = table + "." + pg::quoted(source.position_column);
    std::string condition = "true";
    if (position)
    {
        args.bigint(*position);
        condition = column + " OPERATOR(pg_catalog.>) $1";
    }
    if (event_types)
    {
        std::string list;
        for (const std::string &type : *event_types)
            list += (list.empty() ? "" : ", ") + pg::quoted_literal(type);
        condition += " AND (" + source.type_expression + "\n)::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY[" +
                     list + "]::pg_catalog.text[])";
    }
    const Answer answer = ask(
        source, "SELECT 1::pg_catalog.int8 FROM " + table + " WHERE " + condition + " ORDER BY " + column + " LIMIT 1",
        args);
    return answer.given ? std::optional<bool>(answer.found.has_value()) : std::nullopt;
}

} // namespace query
