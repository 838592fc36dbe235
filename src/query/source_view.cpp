#include "query/source_view.hpp"

#include "pg/locks.hpp"
#include "pg/spi.hpp"
#include "pg/transaction.hpp"
#include "query/visibility.hpp"

namespace query
{

namespace
{

// Runs one statement as the owner of the event table under the active snapshot: its first column in its first row.
std::optional<int64> ask(const catalog::SourceRow &source, const std::string &sql, const pg::Args &args, bool &answered)
{
    const Oid owner = relation_owner(source.events);
    std::optional<int64> result;
    answered = false;
    if (!OidIsValid(owner))
        return result;
    const std::optional<pg::PgError> error = pg::attempt(
        false,
        [&]
        {
            const pg::AsUser user(owner, true);
            pg::pin_surroundings(source.search_path);
            // A lock on the table is told by the lane that meets it; here it may not hold up the answer (nor may one on a
            // partition, which the statement meets by itself).
            pg::set_local("lock_timeout", "100ms");
            if (!pg::try_lock(source.events, AccessShareLock))
                return;
            const pg::Spi spi;
            const pg::Rows rows = pg::execute(sql, args, true, 1);
            if (!rows.empty())
                result = rows.bigint(0, 1);
            answered = true;
        });
    if (!error)
        return result;
    // A cancel or a shutdown is meant for the caller.
    if (error->sqlstate() == ERRCODE_QUERY_CANCELED || error->sqlstate() == ERRCODE_ADMIN_SHUTDOWN)
        throw *error;
    answered = false;
    return std::nullopt;
}

MaybePosition edge(const catalog::SourceRow &source, const char *direction)
{
    const std::string column = pg::quoted(source.position_column);
    bool answered = false;
    return ask(source,
               "SELECT " + column + " FROM " + pg::relation_name(source.events) + " ORDER BY " + column + " " + direction +
                   " LIMIT 1",
               {}, answered);
}

} // namespace

MaybePosition first_position(const catalog::SourceRow &source)
{
    return edge(source, "ASC");
}

MaybePosition head_position(const catalog::SourceRow &source)
{
    return edge(source, "DESC");
}

std::optional<bool> has_event_after(int32 source_id, const MaybePosition &position,
                                    const std::optional<std::vector<std::string>> &event_types)
{
    const std::optional<catalog::SourceRow> source = catalog::find_source(source_id);
    if (!source)
        return std::nullopt;
    pg::Args args;
    std::string condition = "true";
    const std::string column = pg::quoted(source->position_column);
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
        condition += " AND (" + source->type_expression + ")::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY[" + list +
                     "]::pg_catalog.text[])";
    }
    bool answered = false;
    const std::optional<int64> found =
        ask(*source,
            "SELECT 1::pg_catalog.int8 FROM " + pg::relation_name(source->events) + " WHERE " + condition + " ORDER BY " + column +
                " LIMIT 1",
            args, answered);
    return answered ? std::optional<bool>(found.has_value()) : std::nullopt;
}

} // namespace query
