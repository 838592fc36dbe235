// Accepts connections, keeps them within their limits and times, and lets them go when the service stops.
//
// All connections stand in one of a few lists, each in the order in which they entered it. A list has one time limit, so
// whoever is first in it is the first to exceed it, and no connection needs a timer. When there are too many, the one that has
// owed us a request longest has to go: a flood of clients that send half a request or none cannot keep out one that asks.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list_hook.hpp>

#include "http/options.hpp"
#include "http/request.hpp"
#include "http/service_counters.hpp"

namespace http
{

class Connection;

// What a connection is doing: each has its list.
enum class Phase
{
    reading,   // a request is awaited on a new connection, or has arrived in part
    idle,      // a connection was kept and is silent
    handling,  // a request is being answered; the handler has limits of its own
    writing,   // the client has to take what was sent
    lingering, // all is said; what the client still sends is thrown away, so that it can read our last words
    closed,
};

using ListHook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

class Server
{
public:
    // Answers a request; the method and target as they came.
    using Dispatch = std::function<void(const ExchangePtr &, std::string_view method, std::string_view target)>;

    Server(boost::asio::io_context &context, const Options &options, ServiceCounters &counters, Dispatch dispatch);
    ~Server();

    // Raises std::runtime_error where the address cannot be had.
    void listen();
    boost::asio::ip::tcp::endpoint endpoint() const { return acceptor.local_endpoint(); }

    // Takes no more connections, closes the idle ones, and tells when the last one is gone.
    void drain(std::function<void()> done);
    // Whoever still waits for an answer then gets this one.
    void cut_short(const Response &response);
    bool draining() const { return static_cast<bool>(drained); }

    // --- for connections ---
    void enter(Connection &connection, Phase phase);
    void opened() { counters.connections_open++; }
    void gone();
    // So many bytes more, or less, are kept for clients that have not taken them.
    void unsent(std::ptrdiff_t more);
    // So many are being answered that another one could keep out who asks for what never waits.
    bool crowded() const
    {
        const unsigned kept = std::max(1U, options.max_connections / 8);
        return counters.connections_handled >
               std::max(1U, options.max_connections - std::min(kept, options.max_connections));
    }

    boost::asio::io_context &context;
    const Options &options;
    ServiceCounters &counters;
    Dispatch dispatch;
    std::string date; // for the header: a second old at most
    std::array<char, 65536> scratch;

private:
    struct Lists;

    void open(const boost::asio::ip::tcp::endpoint &endpoint);
    void accept();
    void accepted(boost::asio::ip::tcp::socket socket);
    bool make_room();
    void relieve();
    void sweep();
    std::vector<std::shared_ptr<Connection>> all_open();
    void expire(Phase phase, std::chrono::milliseconds limit);

    boost::asio::ip::tcp::acceptor acceptor;
    boost::asio::steady_timer sweeper, pause;
    std::unique_ptr<Lists> lists;
    std::function<void()> drained;
    bool relieving = false;
};

} // namespace http
