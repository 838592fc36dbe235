// One connection to the database in libpq's pipeline mode. It sends a batch of statements with one synchronisation point, and
// so the server answers them in one go. If one of them fails, the server passes over those that follow it; these are sent again,
// each with a point of its own, so the failure of one does not touch the next, and none is sent more than twice.
//
// A batch is one transaction, but each of its statements has a snapshot of its own, taken when its turn comes.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "http/database.hpp"

namespace http
{

class PooledConnection : public std::enable_shared_from_this<PooledConnection>
{
public:
    // Takes the connection, on which everything is prepared.
    PooledConnection(boost::asio::io_context &context, Database &database, PGconn *connection);
    ~PooledConnection();

    void start();
    // Only while it is idle.
    void send(std::deque<Read> batch);
    bool idle() const { return !failed && points == 0; }
    // The last one of libpq.
    std::string error() const;
    // Whether it is at work on states of this query.
    bool reads_of(const std::string &query) const;
    // Whether it is at work on something that the one kept for probes is not for.
    bool serves_others() const;
    // The queries whose states it reads, if nothing has come for longer than that. Which of them is slow cannot be told: results are kept
    // back until the end of a batch.
    std::set<std::string> waited_for(std::chrono::milliseconds limit) const;
    // Gives up if the statement whose turn it is has had this long.
    void check(std::chrono::milliseconds limit);
    // Ends it. What it had under way is told that there is no connection; without a reason, which is the database's then, it is tried
    // elsewhere.
    void fail(const char *reason = nullptr);

private:
    enum class Points
    {
        one_for_all,
        one_for_each,
    };
    void send(Points how);
    bool send_one(const Read &read);
    void await_input();
    void await_output();
    void take_results();
    void take(ResultPtr part);

    Database &database;
    PGconn *connection;
    boost::asio::posix::stream_descriptor descriptor;
    std::deque<Read> reads;       // that have no result yet
    std::deque<Read> passed_over; // after one that failed
    size_t points = 0;            // of synchronisation, that the server has not come to
    Clock::time_point turn_began; // of the first one
    bool awaiting_output = false, failed = false;
};

} // namespace http
