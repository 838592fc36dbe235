#include "http/database.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

#include "http/connector.hpp"
#include "http/gathering.hpp"
#include "http/log.hpp"
#include "http/pooled_connection.hpp"

namespace http
{

namespace
{

constexpr auto first_backoff = std::chrono::milliseconds(50);
constexpr auto longest_backoff = std::chrono::milliseconds(1000);
constexpr auto watch_interval = std::chrono::milliseconds(100);
constexpr auto role_interval = std::chrono::milliseconds(1000);
// A server that ends, or restarts after a crash, takes its connections along one by one.
constexpr auto loss_interval = std::chrono::milliseconds(500);
// A query whose states were waited for so long is looked out for, for a while.
constexpr auto slow = std::chrono::milliseconds(100);
constexpr auto slow_memory = std::chrono::seconds(10);
// Beyond the server's own limit for a statement: it did not keep it, so it does not answer at all.
constexpr auto grace = std::chrono::milliseconds(1000);

ReadResult failure(ReadResult::Kind kind)
{
    ReadResult result;
    result.kind = kind;
    return result;
}

// Several services that lost the same database do not come back in step.
std::chrono::milliseconds with_jitter(std::chrono::milliseconds time)
{
    static std::minstd_rand random(std::random_device{}());
    return time * std::uniform_int_distribution<int>(75, 125)(random) / 100;
}

} // namespace

const std::string *Read::query() const
{
    return statement->touches == Touches::states && !parameters.empty() && parameters[0] ? &*parameters[0] : nullptr;
}

std::optional<std::string_view> ReadResult::text(int row, int column) const
{
    row = only_row.value_or(row);
    if (PQgetisnull(result.get(), row, column))
        return std::nullopt;
    return std::string_view(PQgetvalue(result.get(), row, column),
                            static_cast<size_t>(PQgetlength(result.get(), row, column)));
}

std::optional<std::int64_t> ReadResult::integer(int row, int column) const
{
    const std::optional<std::string_view> digits = text(row, column);
    std::int64_t value = 0;
    if (!digits || std::from_chars(digits->data(), digits->data() + digits->size(), value).ec != std::errc())
        return std::nullopt;
    return value;
}

Database::Database(boost::asio::io_context &context, const Options &options, ServiceCounters &counters,
                   std::function<void(const std::string &)> fatal)
    : context(context),
      options(options),
      counters(counters),
      fatal(std::move(fatal)),
      retry(context),
      watcher(context),
      backoff(first_backoff)
{
}

Database::~Database() = default;

void Database::start()
{
    connector = std::make_unique<Connector>(options,
                                            [this](const Attempt &attempt)
                                            {
                                                boost::asio::post(context,
                                                                  [this, attempt] {
                                                                      connected_one(attempt.connection,
                                                                                    attempt.connection != nullptr,
                                                                                    attempt.message, attempt.refused);
                                                                  });
                                            });
    connect_next();
    watch();
}

void Database::connect_next()
{
    if (connecting || resting || open.size() >= options.pool_size)
        return;
    connecting = true;
    connector->attempt();
}

void Database::connected_one(PGconn *connection, bool usable, const std::string &message, bool refused)
{
    connecting = false;
    if (usable || !refused || ever_connected)
        if (const auto told = std::exchange(attempted, nullptr))
            told();
    if (usable)
    {
        tell_losses();
        if (open.empty())
            log::info("connected to the database", {{"database", PQdb(connection)}, {"role", PQuser(connection)}});
        ever_connected = true;
        last_complaint.clear();
        backoff = first_backoff;
        counters.database_connects++;
        open.push_back(std::make_shared<PooledConnection>(context, *this, connection));
        counters.database_connections = open.size();
        open.back()->start();
        serve_soon();
        return connect_next();
    }
    if (refused && !ever_connected)
        return fatal(message);
    // The same again and again is said once.
    if (message != last_complaint)
        log::error("could not connect to the database", {{"error", message}});
    last_complaint = message;
    rest(with_jitter(backoff));
    backoff = std::min(backoff * 2, longest_backoff);
}

// One that was lost. A server that takes connections and ends them with the first thing that they are asked is not asked for new ones
// without end: some at once, and then as many in a second as there are to be.
void Database::replace_one()
{
    const double most = 8.0 * options.pool_size;
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - std::exchange(replaced, now)).count();
    replaceable = std::min(most, replaceable + seconds * options.pool_size);
    if (replaceable < 1)
        return rest(std::chrono::milliseconds(1000) / options.pool_size);
    replaceable -= 1;
    connect_next();
}

void Database::rest(std::chrono::milliseconds time)
{
    if (std::exchange(resting, true))
        return;
    retry.expires_after(time);
    retry.async_wait(
        [this](const boost::system::error_code &error)
        {
            if (error)
                return;
            resting = false;
            connect_next();
        });
}

void Database::read(const Statement &statement, Parameters parameters, ReadCallback callback)
{
    counters.statements++;
    give(Read{&statement, std::move(parameters), std::move(callback), Clock::now()});
}

void Database::give(Read read, bool again)
{
    if (open.empty())
        return read.callback(failure(ReadResult::Kind::unavailable));
    std::deque<Read> &mine = queue_of(read);
    // One query that is locked, or slow, leaves the other half of the queue to the others.
    if (mine.size() >= options.queue_size ||
        (read.query() && has_share(*read.query(), (size_t{options.queue_size} + 1) / 2)))
    {
        counters.statements_refused++;
        return read.callback(failure(ReadResult::Kind::overloaded));
    }
    // watch() looks at the oldest ones only.
    mine.insert(again ? mine.begin() : mine.end(), std::move(read));
    counters.statements_waiting = waiting();
    serve_soon();
}

// Whether so many reads of its states stand in the queue. Counts only where it matters.
bool Database::has_share(const std::string &query, size_t share) const
{
    const auto same = [&](const Read &read) { return read.query() && *read.query() == query; };
    return queue.size() >= share && static_cast<size_t>(std::count_if(queue.begin(), queue.end(), same)) >= share;
}

bool Database::crowded(const std::string &query) const
{
    const size_t quarter = std::max<size_t>(options.queue_size / 4, 1);
    return queue.size() >= 3 * quarter || has_share(query, quarter);
}

void Database::has_turn()
{
    serve_soon();
}

// Not at once: whatever else has arrived by now goes along.
void Database::serve_soon()
{
    if (std::exchange(serving_soon, true))
        return;
    boost::asio::post(context,
                      [this]
                      {
                          serving_soon = false;
                          serve();
                      });
}

// The first connection serves what touches the catalog alone, in brief, so that probes are answered while others wait for a lock. The
// rest serve metrics, the page, and the reads of states, those of one query all but one of them, so that a query that is locked leaves
// one to the others.
void Database::serve()
{
    // Unless it still does that, since it was the only one once, and another is free.
    if (!status_queue.empty() && open.size() > 1 && open.front()->serves_others())
        if (const auto idle = std::find_if(open.begin(), open.end(), [](const auto &one) { return one->idle(); });
            idle != open.end())
            std::iter_swap(open.begin(), idle);
    const std::vector connections(open);
    if (connections.size() == 1)
    {
        // By turns: whoever asks for the status again at once would keep it.
        std::array<std::deque<Read> *, 2> queues = {&status_queue, &queue};
        if (connections.front()->idle() && (states_turn = !states_turn))
            std::swap(queues[0], queues[1]);
        for (std::deque<Read> *from : queues)
            send_share(*connections.front(), *from, 1, 0);
    }
    else if (!connections.empty())
    {
        send_share(*connections.front(), status_queue, 1, 0);
        auto idle = static_cast<size_t>(
            std::count_if(connections.begin() + 1, connections.end(), [](const auto &one) { return one->idle(); }));
        for (size_t i = 1; i < connections.size(); i++)
        {
            if (connections[i]->idle())
                send_share(*connections[i], queue, idle--, connections.size() - 2);
        }
    }
    counters.statements_waiting = waiting();
}

// Gives an idle connection its share of a queue that so many idle ones take from. Others: how many connections there are besides it for the
// same queue.
void Database::send_share(PooledConnection &connection, std::deque<Read> &from, size_t idle, size_t others)
{
    if (from.empty() || !connection.idle())
        return;
    const size_t share = std::min<size_t>((from.size() + idle - 1) / idle, options.batch_size);
    std::deque<Read> batch, left;
    while (!from.empty() && batch.size() < share)
    {
        Read read = std::move(from.front());
        from.pop_front();
        const bool later = (others > 0 && has_enough(read, connection, others)) || !goes_with(read, batch);
        (later ? left : batch).push_back(std::move(read));
    }
    from.insert(from.begin(), std::make_move_iterator(left.begin()), std::make_move_iterator(left.end()));
    if (!batch.empty())
        connection.send(gathered(std::move(batch)));
}

bool Database::has_enough(const Read &read, const PooledConnection &connection, size_t most) const
{
    const std::string *const query = read.query();
    if (!query)
        return false;
    const auto is_such = [&](const auto &one) { return one.get() != &connection && one->reads_of(*query); };
    return static_cast<size_t>(std::count_if(open.begin(), open.end(), is_such)) >= most;
}

// A read of states that somebody may have locked would hold up all that are in its batch.
bool Database::goes_with(const Read &read, const std::deque<Read> &batch) const
{
    if (batch.empty())
        return true;
    const std::string *const query = read.query();
    const std::string *const others = batch.front().query();
    if (query && others && *query == *others)
        return true;
    const auto may_wait = [&](const std::string *one) { return one && slow_queries.contains(*one); };
    return !may_wait(query) && !may_wait(others);
}

std::deque<Read> &Database::queue_of(const Read &read)
{
    return read.statement->touches == Touches::catalog ? status_queue : queue;
}

void Database::broken(PooledConnection &connection, std::deque<Read> under_way, const char *reason)
{
    std::erase_if(open, [&](const auto &one) { return one.get() == &connection; });
    counters.database_connections = open.size();
    if (losses.count++ == 0)
    {
        losses.since = Clock::now();
        losses.error = reason ? reason : connection.error();
    }
    losses.all = losses.all || open.empty();
    replace_one();
    std::deque<Read> lost;
    for (Read &read : under_way)
    {
        // All of them only read, so doing it again changes nothing.
        if (!reason && !open.empty() && read.tries < 2)
            give(std::move(read), true);
        else
            lost.push_back(std::move(read));
    }
    if (open.empty())
    {
        for (std::deque<Read> *from : {&status_queue, &queue})
        {
            std::move(from->begin(), from->end(), std::back_inserter(lost));
            from->clear();
        }
        counters.statements_waiting = 0;
    }
    for (const Read &read : lost)
        read.callback(failure(ReadResult::Kind::unavailable));
}

// What waits too long, and connections from which nothing comes.
void Database::watch()
{
    const auto now = Clock::now();
    for (std::deque<Read> *from : {&status_queue, &queue})
    {
        while (!from->empty() && now - from->front().queued > options.queue_timeout)
        {
            const Read read = std::move(from->front());
            from->pop_front();
            counters.statements_refused++;
            read.callback(failure(ReadResult::Kind::no_turn));
        }
    }
    counters.statements_waiting = waiting();
    for (const auto &connection : std::vector(open))
    {
        for (const std::string &query : connection->waited_for(slow))
            slow_queries[query] = now;
        connection->check(options.statement_timeout + grace);
    }
    std::erase_if(slow_queries, [&](const auto &one) { return now - one.second > slow_memory; });
    look_at_role();
    tell_losses();
    watcher.expires_after(watch_interval);
    watcher.async_wait(
        [this](const boost::system::error_code &error)
        {
            if (!error)
                watch();
        });
}

// One that has become a superuser since the connections were made is as bad as one that was it then.
void Database::look_at_role()
{
    if (options.allow_superuser || looking_at_role || open.empty() || Clock::now() - role_seen < role_interval)
        return;
    looking_at_role = true;
    read(statements::role_is_superuser, {},
         [this](const ReadResult &result)
         {
             looking_at_role = false;
             role_seen = Clock::now();
             if (result.kind != ReadResult::Kind::rows || result.rows() != 1 || result.text(0, 0) != "t")
                 return;
             // Not here: one of them is in the middle of handing this over.
             boost::asio::post(context,
                               [this]
                               {
                                   for (const auto &connection : std::vector(open))
                                       connection->fail("the role has become a superuser");
                               });
         });
}

// Those that are lost together, in one line. When all are, there is nothing more to come.
void Database::tell_losses()
{
    if (losses.count == 0 || (!open.empty() && Clock::now() - losses.since < loss_interval))
        return;
    log::write(losses.all ? log::Level::error : log::Level::warning,
               losses.all ? "lost all connections to the database" : "lost connections to the database",
               {{"connections", std::to_string(losses.count)}, {"error", losses.error}});
    losses = {};
}

std::string text_array(const std::vector<std::string> &members)
{
    std::string array = "{";
    for (const std::string &member : members)
    {
        array += array.size() > 1 ? ",\"" : "\"";
        for (const char c : member)
        {
            if (c == '"' || c == '\\')
                array += '\\';
            array += c;
        }
        array += '"';
    }
    return array + "}";
}

} // namespace http
