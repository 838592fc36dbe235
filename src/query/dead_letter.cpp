#include "query/dead_letter.hpp"

#include "pg/spi.hpp"

namespace query
{

namespace
{

// A message can quote a whole document.
constexpr int longest_message = 8192;

} // namespace

std::int64_t count_dead_letters(int32 generation_id)
{
    pg::Rows rows = pg::execute("SELECT count(*) FROM readmodel_catalog.dead_letter"
                                " WHERE generation_id = $1 AND discarded_at IS NULL",
                                pg::Args().integer(generation_id), true);
    const std::int64_t count = rows.bigint(0, 1).value_or(0);
    rows.free();
    return count;
}

void record_dead_letter(int32 generation_id, source::Position position, const std::string &sqlstate,
                        const std::string &message)
{
    static pg::Statement statement(
        "INSERT INTO readmodel_catalog.dead_letter (generation_id, position, sqlstate, message)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (generation_id, position) DO NOTHING");
    std::size_t length = message.size();
    if (length > longest_message)
        length = static_cast<std::size_t>(pg_mbcliplen(message.data(), static_cast<int>(length), longest_message));
    pg::Args args;
    args.integer(generation_id).bigint(position).text(sqlstate).text(std::string_view(message).substr(0, length));
    statement.execute(args);
}

} // namespace query
