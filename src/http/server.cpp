#include "http/server.hpp"

#include <ctime>
#include <stdexcept>

#include <boost/asio/ip/v6_only.hpp>
#include <boost/intrusive/list.hpp>

#include "http/connection.hpp"
#include "http/log.hpp"

namespace http
{

namespace
{

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr auto sweep_interval = std::chrono::milliseconds(200);
constexpr auto linger_limit = std::chrono::milliseconds(2000);

std::string http_date()
{
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[64];
    return std::string(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

} // namespace

struct Server::Lists
{
    using List = boost::intrusive::list<Connection, boost::intrusive::base_hook<ListHook>,
                                        boost::intrusive::constant_time_size<false>>;

    List &operator[](Phase phase) { return all[static_cast<size_t>(phase)]; }

    std::array<List, static_cast<size_t>(Phase::closed)> all;
};

Server::Server(boost::asio::io_context &context, const Options &options, ServiceCounters &counters, Dispatch dispatch)
    : context(context),
      options(options),
      counters(counters),
      dispatch(std::move(dispatch)),
      date(http_date()),
      acceptor(context),
      sweeper(context),
      pause(context),
      lists(std::make_unique<Lists>())
{
}

Server::~Server() = default;

void Server::listen()
{
    const tcp::endpoint endpoint(boost::asio::ip::make_address(options.address), options.port);
    try
    {
        open(endpoint);
    }
    catch (const boost::system::system_error &error)
    {
        throw std::runtime_error("could not listen on " + options.address + ", port " + std::to_string(options.port) +
                                 ": " + error.code().message());
    }
    accept();
    sweep();
}

void Server::open(const tcp::endpoint &endpoint)
{
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    if (endpoint.address().is_v6() && endpoint.address().is_unspecified())
        acceptor.set_option(boost::asio::ip::v6_only(false)); // "::" is everybody
    acceptor.bind(endpoint);
    acceptor.listen(4096); // the kernel has a limit of its own
    acceptor.non_blocking(true);
}

void Server::accept()
{
    acceptor.async_accept(
        [this](const error_code &error, tcp::socket socket)
        {
            if (error == boost::asio::error::operation_aborted || draining())
                return;
            if (!error)
                accepted(std::move(socket));
            else if (error == boost::asio::error::no_descriptors || error.value() == ENFILE ||
                     error.value() == ENOMEM || error.value() == ENOBUFS)
            {
                // The client stays in the kernel's queue. Without a break we would turn in circles.
                make_room();
                pause.expires_after(std::chrono::milliseconds(20));
                pause.async_wait([this](const error_code &) { accept(); });
                return;
            }
            accept(); // whatever else is wrong is the client's affair
        });
}

void Server::accepted(tcp::socket socket)
{
    counters.connections_accepted++;
    if (counters.connections_open >= options.max_connections && !make_room())
        return; // all are being answered
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.non_blocking(true, ignored);
    std::make_shared<Connection>(*this, std::move(socket))->start();
}

bool Server::make_room()
{
    for (const Phase phase : {Phase::lingering, Phase::reading, Phase::idle, Phase::writing})
    {
        if ((*lists)[phase].empty())
            continue;
        counters.connections_evicted++;
        (*lists)[phase].front().close();
        return true;
    }
    return false;
}

void Server::unsent(std::ptrdiff_t more)
{
    counters.bytes_unsent += static_cast<std::uint64_t>(more);
    // Not here: whoever is closed may be in the middle of something.
    if (counters.bytes_unsent > options.max_unsent && !std::exchange(relieving, true))
        boost::asio::post(context, [this] { relieve(); });
}

void Server::relieve()
{
    relieving = false;
    auto &writing = (*lists)[Phase::writing];
    // One alone may have more: it could never be answered otherwise.
    while (counters.bytes_unsent > options.max_unsent && !writing.empty() && &writing.front() != &writing.back())
    {
        counters.connections_evicted++;
        writing.front().close();
    }
}

void Server::enter(Connection &connection, Phase phase)
{
    if (connection.phase == Phase::handling)
        counters.connections_handled--;
    if (phase == Phase::handling)
        counters.connections_handled++;
    connection.unlink();
    connection.phase = phase;
    connection.entered = Clock::now();
    if (phase != Phase::closed)
        (*lists)[phase].push_back(connection);
}

void Server::gone()
{
    counters.connections_open--;
    if (drained && counters.connections_open == 0)
        boost::asio::post(context, drained);
}

void Server::expire(Phase phase, std::chrono::milliseconds limit)
{
    const auto before = Clock::now() - limit;
    while (!(*lists)[phase].empty() && (*lists)[phase].front().entered < before)
    {
        if (phase != Phase::idle && phase != Phase::lingering)
            counters.connections_timed_out++;
        (*lists)[phase].front().close();
    }
}

void Server::sweep()
{
    date = http_date();
    expire(Phase::reading, options.header_timeout);
    expire(Phase::idle, options.idle_timeout);
    expire(Phase::writing, options.write_timeout);
    expire(Phase::lingering, linger_limit);
    sweeper.expires_after(sweep_interval);
    sweeper.async_wait(
        [this](const error_code &error)
        {
            if (!error)
                sweep();
        });
}

// What happens to them may not disturb the walk through their lists.
std::vector<std::shared_ptr<Connection>> Server::all_open()
{
    std::vector<std::shared_ptr<Connection>> all;
    for (auto &list : lists->all)
    {
        for (Connection &connection : list)
            all.push_back(connection.shared_from_this());
    }
    return all;
}

void Server::cut_short(const Response &response)
{
    for (const auto &connection : all_open())
        connection->cut_short(response);
}

// Each closes itself, or stays until it is answered.
void Server::drain(std::function<void()> done)
{
    drained = std::move(done);
    error_code ignored;
    acceptor.close(ignored);
    pause.cancel();
    for (const auto &connection : all_open())
        connection->drain();
    if (counters.connections_open == 0)
        boost::asio::post(context, drained);
}

} // namespace http
