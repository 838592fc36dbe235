#include "worker/set_aside.hpp"

#include "pg/locks.hpp"
#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "worker/publish.hpp"

namespace worker
{

namespace
{

constexpr long first_retry_ms = 100;
constexpr long last_retry_ms = 5000;

} // namespace

void SetAside::add(const Member &member)
{
    const query::FoldStop &stop = *member.stop;
    const int32 id = member.generation.id;
    const bool locked = stop.kind == query::FoldStop::Kind::locked || stop.sqlstate == "55P03";
    int blocker = stop.blocker_pid;
    if (locked && blocker == 0)
    {
        pg::Transaction transaction;
        blocker = pg::blocker_of(member.generation.state_table, RowExclusiveLock);
        transaction.commit();
    }
    Waiting &aside = waiting[id];
    if (!stop.cancelled() || aside.failures > 0)
        publish_block(id, locked ? Block::lock : Block::transient, blocker, stop.message);
    if (aside.failures == 0)
        pg::log(WARNING, "the rebuild of query " + pg::shown(member.generation.query_name) + " could not go on",
                "SQLSTATE " + stop.sqlstate + ". It is tried again; readmodel.status() shows the reason.");
    const long delay = std::min(first_retry_ms << std::min(aside.failures, 10), last_retry_ms);
    aside.failures++;
    aside.retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
}

void SetAside::keep_only(const std::vector<int32> &generation_ids)
{
    std::erase_if(
        waiting, [&](const auto &aside)
        { return std::find(generation_ids.begin(), generation_ids.end(), aside.first) == generation_ids.end(); });
}

bool SetAside::waits(int32 generation_id, TimestampTz now) const
{
    const auto aside = waiting.find(generation_id);
    return aside != waiting.end() && aside->second.retry_at > now;
}

bool SetAside::due() const
{
    const TimestampTz now = GetCurrentTimestamp();
    return std::any_of(waiting.begin(), waiting.end(),
                       [&](const auto &aside) { return aside.second.retry_at != 0 && aside.second.retry_at <= now; });
}

long SetAside::milliseconds_until_due(long most) const
{
    for (const auto &aside : waiting)
        most = std::min(most, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), aside.second.retry_at));
    return most;
}

bool SetAside::any_is_tried() const
{
    return std::any_of(waiting.begin(), waiting.end(), [](const auto &aside) { return aside.second.retry_at == 0; });
}

} // namespace worker
