// The service: what its parts share, which path goes to whom, and how it stops.
#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "http/database.hpp"
#include "http/options.hpp"
#include "http/router.hpp"
#include "http/server.hpp"
#include "http/service_counters.hpp"

namespace http
{

class Service
{
public:
    explicit Service(Options options);
    ~Service();

    // Serves until it is told to stop. Returns the exit status.
    int run();

    const Options options;
    boost::asio::io_context context{1}; // one thread
    ServiceCounters counters;
    Database database;
    Router router;

private:
    void dispatch(const ExchangePtr &exchange, std::string_view method, std::string_view target);
    bool has_token(const Request &request) const;
    bool may_be_meant(const Request &request) const;
    void stop_on_signal();
    void reload_on_signal();
    void stop();
    void greet() const;
    void feed_watchdog();

    Server server;
    std::string token; // that is asked for now
    boost::asio::signal_set signals, reload_signals;
    boost::asio::steady_timer deadline, watchdog;
    bool checks_host = false;
    int exit_status = 0;
    bool stopping = false;
};

// Each adds the routes of its file.
void add_health_routes(Service &service);
void add_ready_routes(Service &service);
void add_query_routes(Service &service);
void add_metrics_routes(Service &service);
void add_page_routes(Service &service);
void add_page_feed_routes(Service &service);

} // namespace http
