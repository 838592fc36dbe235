// The database, seen from the io thread: a queue of statements, and a few connections that take them from it in batches, so that
// under load one trip to the server, and one change of processes, serves many. Nothing here blocks. Where there is no
// connection, or the queue is full, the answer is that, at once.
//
//     database.read(statements::read_state, {name, id, std::nullopt}, [](const ReadResult &result) { .. });
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <libpq-fe.h>

#include "http/options.hpp"
#include "http/request.hpp"
#include "http/service_counters.hpp"
#include "http/statements.hpp"

namespace http
{

struct ClearResult
{
    void operator()(PGresult *result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, ClearResult>;

// What a statement came to.
struct ReadResult
{
    enum class Kind
    {
        rows,
        error,       // the server refused it: sqlstate
        unavailable, // there is no connection, or it broke, or nothing came back in time
        overloaded,  // there was no room
        no_turn,     // all connections were busy with others for too long
    };
    Kind kind = Kind::unavailable;
    std::shared_ptr<const PGresult> result;
    std::string sqlstate;
    std::optional<int> only_row; // of what is shared with others

    int rows() const { return only_row ? 1 : result ? PQntuples(result.get()) : 0; }
    // The text of a value; nothing for NULL.
    std::optional<std::string_view> text(int row, int column) const;
    // Nothing for NULL, and for what is none.
    std::optional<std::int64_t> integer(int row, int column) const;
    // As if it had only this row.
    ReadResult part(int row) const { return {kind, result, sqlstate, row}; }
};

using Parameters = std::vector<std::optional<std::string>>;
using ReadCallback = std::function<void(const ReadResult &)>;

// A statement on its way.
struct Read
{
    const Statement *statement;
    Parameters parameters;
    ReadCallback callback;
    Clock::time_point queued;
    unsigned tries = 0;
    bool gathered = false; // of several (gathering.hpp)

    // The query whose states are read; none for what reads no states or those of all.
    const std::string *query() const;
};

class Connector;
class PooledConnection;

class Database
{
public:
    // fatal: told if the role may not be used, before any connection was of use.
    Database(boost::asio::io_context &context, const Options &options, ServiceCounters &counters,
             std::function<void(const std::string &)> fatal);
    ~Database();

    void start();
    // Called when the first attempt to connect has ended otherwise than with a role that may not be used.
    std::function<void()> attempted;

    // The statement is one of statements::all. The callback is called once, perhaps before this returns.
    void read(const Statement &statement, Parameters parameters, ReadCallback callback);

    // So much of the queue is taken, or so much by reads of this query's states, that it is not the time for what can as well be asked a
    // little later.
    bool crowded(const std::string &query) const;

    // --- for connections of the pool ---
    void has_turn();
    // It is not usable any more. What it had under way is tried once more elsewhere, unless there is a reason of ours.
    void broken(PooledConnection &connection, std::deque<Read> under_way, const char *reason);

private:
    void connect_next();
    void replace_one();
    void rest(std::chrono::milliseconds time);
    void connected_one(PGconn *connection, bool usable, const std::string &message, bool refused);
    void give(Read read, bool again = false);
    bool has_share(const std::string &query, size_t share) const;
    void serve_soon();
    void serve();
    void send_share(PooledConnection &connection, std::deque<Read> &from, size_t idle, size_t others);
    bool has_enough(const Read &read, const PooledConnection &connection, size_t most) const;
    bool goes_with(const Read &read, const std::deque<Read> &batch) const;
    std::deque<Read> &queue_of(const Read &read);
    size_t waiting() const { return status_queue.size() + queue.size(); }
    void watch();
    void look_at_role();
    void tell_losses();

    boost::asio::io_context &context;
    const Options &options;
    ServiceCounters &counters;
    std::function<void(const std::string &)> fatal;
    std::unique_ptr<Connector> connector;
    std::vector<std::shared_ptr<PooledConnection>> open;
    std::deque<Read> status_queue, queue; // of statements that touch the catalog alone, and of the others
    std::map<std::string, Clock::time_point> slow_queries; // whose states were waited for, and when last
    boost::asio::steady_timer retry, watcher;
    std::chrono::milliseconds backoff;
    double replaceable = 0; // connections that may be made at once for those that are lost
    Clock::time_point replaced;
    bool connecting = false, resting = false, ever_connected = false, serving_soon = false, looking_at_role = false,
         states_turn = false;
    Clock::time_point role_seen;
    std::string last_complaint;
    // Connections that were lost and that the log has not told of. A server that ends takes all of them along.
    struct
    {
        size_t count = 0;
        Clock::time_point since;
        bool all = false;
        std::string error; // of the first
    } losses;
};

// A PostgreSQL array of texts.
std::string text_array(const std::vector<std::string> &members);

} // namespace http
