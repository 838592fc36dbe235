#include "http/service.hpp"

#include <csignal>
#include <cstdlib>

#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "http/host.hpp"
#include "http/log.hpp"

namespace http
{

namespace
{

using boost::system::error_code;

// Each client's connection is a file, and there are others: beyond what the process may open, a limit would mean nothing.
unsigned possible_connections(unsigned wanted, unsigned others)
{
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted + others)
        return wanted;
    const auto possible =
        static_cast<unsigned>(limit.rlim_cur > rlim_t{2} * others ? limit.rlim_cur - others : limit.rlim_cur / 2);
    log::warning("the process may open too few files for max-connections", {{"connections", std::to_string(possible)}});
    return possible;
}

Options within_limits(Options options)
{
    options.max_connections = possible_connections(options.max_connections, options.pool_size + 32);
    return options;
}

// After the limit of requests under way, for clients to take what they are told.
constexpr auto last_words_time = std::chrono::milliseconds(250);

// Takes as long for a wrong token as for the right one, whatever the two have in common.
bool same_secret(std::string_view given, std::string_view expected)
{
    unsigned difference = given.size() == expected.size() ? 0 : 1;
    for (size_t i = 0; i < expected.size(); i++)
        difference |=
            static_cast<unsigned char>(expected[i]) ^ static_cast<unsigned char>(i < given.size() ? given[i] : '\0');
    return difference == 0;
}

} // namespace

Service::Service(Options chosen)
    : options(within_limits(std::move(chosen))),
      database(context, options, counters,
               [this](const std::string &message)
               {
                   log::error("refused to start", {{"reason", message}});
                   exit_status = 1;
                   context.stop();
               }),
      server(context, options, counters,
             [this](const ExchangePtr &exchange, std::string_view method, std::string_view target)
             { dispatch(exchange, method, target); }),
      token(options.token),
      signals(context, SIGTERM, SIGINT),
      reload_signals(context, SIGHUP),
      deadline(context),
      watchdog(context)
{
    add_health_routes(*this);
    add_ready_routes(*this);
    add_query_routes(*this);
    add_metrics_routes(*this);
    add_page_routes(*this);
    add_page_feed_routes(*this);
}

Service::~Service() = default;

int Service::run()
{
    std::signal(SIGPIPE, SIG_IGN);
    server.listen();
    // Who has the token is no web page of somewhere else. What listens on other addresses is called by names that we cannot know.
    checks_host = options.token.empty() && (!options.hosts.empty() || server.endpoint().address().is_loopback());
    stop_on_signal();
    reload_on_signal();
    // Not before it is known that the role may be used at all.
    database.attempted = [] { sd_notify(0, "READY=1"); };
    database.start();
    greet();
    feed_watchdog();
    context.run();
    return exit_status;
}

void Service::greet() const
{
    const auto endpoint = server.endpoint();
    const std::string host =
        endpoint.address().is_v6() ? "[" + endpoint.address().to_string() + "]" : endpoint.address().to_string();
    log::info("listening on http://" + host + ":" + std::to_string(endpoint.port()),
              {{"token", options.token.empty() ? "none" : "asked for"}});
    if (!endpoint.address().is_loopback() && options.token.empty())
        log::warning("whoever reaches this address may read every state that the role may read: no token is asked for");
}

// As long as the io thread turns, systemd hears of it, if its unit asks for that.
void Service::feed_watchdog()
{
    std::uint64_t microseconds = 0;
    if (sd_watchdog_enabled(0, &microseconds) <= 0)
        return;
    sd_notify(0, "WATCHDOG=1");
    watchdog.expires_after(std::chrono::microseconds(microseconds / 3));
    watchdog.async_wait(
        [this](const error_code &error)
        {
            if (!error)
                feed_watchdog();
        });
}

void Service::dispatch(const ExchangePtr &exchange, std::string_view method, std::string_view target)
{
    Request &request = exchange->request();
    if (method != "GET" && method != "HEAD")
        return exchange->respond(problem(405, "only GET and HEAD are answered").header("Allow", "GET, HEAD"));
    std::string fault;
    auto parsed = parse_target(target, fault);
    if (!parsed)
        return exchange->respond(problem(400, fault));
    request.target = std::move(*parsed);
    const Route *route = router.find(request);
    if (!token.empty() && (!route || route->access == Access::guarded) && !has_token(request))
        return exchange->respond(
            problem(401, "a bearer token is asked for").header("WWW-Authenticate", "Bearer realm=\"readmodel\""));
    if (!may_be_meant(request) && (!route || route->access == Access::guarded))
        return exchange->respond(problem(
            421, "the service is not known by the name in the header Host: its option --host tells it more names"));
    if (!route)
        return exchange->respond(problem(404, "there is nothing at this path"));
    request.route = &route->pattern;
    // Those who wait cannot be closed to make room. The last places are for what is answered at once.
    if (route->access == Access::guarded && server.crowded())
        return exchange->respond(overloaded());
    route->handler(exchange);
}

bool Service::has_token(const Request &request) const
{
    const std::string_view given = request.authorization;
    constexpr std::string_view scheme = "bearer ";
    if (given.size() < scheme.size())
        return false;
    for (size_t i = 0; i < scheme.size(); i++)
    {
        if ((given[i] | 0x20) != scheme[i] && given[i] != scheme[i])
            return false;
    }
    return same_secret(given.substr(scheme.size()), token);
}

bool Service::may_be_meant(const Request &request) const
{
    return !checks_host || request.host.empty() || is_own_host(request.host, options.hosts);
}

void Service::stop_on_signal()
{
    signals.async_wait(
        [this](const error_code &error, int)
        {
            if (error)
                return;
            if (stopping)
                return context.stop(); // asked twice
            stop();
            stop_on_signal();
        });
}

// The token is all that is read again. One that cannot be read changes nothing.
void Service::reload_on_signal()
{
    reload_signals.async_wait(
        [this](const error_code &error, int)
        {
            if (error)
                return;
            if (options.token_file.empty())
                log::info("SIGHUP: there is no token file to read again");
            else
            {
                try
                {
                    token = token_of_file(options.token_file);
                    log::info("SIGHUP: the token was read again");
                }
                catch (const BadOption &fault)
                {
                    log::error("SIGHUP: the token stays as it was", {{"error", fault.what()}});
                }
            }
            reload_on_signal();
        });
}

void Service::stop()
{
    stopping = true;
    log::info("stopping: requests under way are answered");
    sd_notify(0, "STOPPING=1");
    deadline.expires_after(options.drain_timeout);
    deadline.async_wait(
        [this](const error_code &error)
        {
            if (error)
                return;
            log::warning("stopped with requests under way",
                         {{"connections", std::to_string(counters.connections_open)}});
            server.cut_short(http::stopping());
            // They are read at once, or not at all.
            deadline.expires_after(last_words_time);
            deadline.async_wait([this](const error_code &) { context.stop(); });
        });
    server.drain(
        [this]
        {
            log::info("stopped");
            context.stop();
        });
}

} // namespace http
