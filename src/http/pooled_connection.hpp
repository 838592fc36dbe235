// One connection to the database in libpq's pipeline mode. Each statement has a synchronisation point of its own, so that the
// failure of one does not touch the next.
#pragma once

#include <deque>
#include <memory>

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
    void send(Read read);
    size_t under_way() const { return reads.size(); }
    // Gives up if the statement whose turn it is has had this long.
    void check(std::chrono::milliseconds limit);

private:
    void await_input();
    void await_output();
    void take_results();
    void fail(bool hangs);

    Database &database;
    PGconn *connection;
    boost::asio::posix::stream_descriptor descriptor;
    std::deque<Read> reads;
    ReadResult result;            // of the first one, before its synchronisation point
    Clock::time_point turn_began; // of the first one
    bool awaiting_output = false, failed = false, taking = false;
};

} // namespace http
