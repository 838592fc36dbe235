// A request whose header has arrived, and the means to answer it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/response.hpp"
#include "http/target.hpp"

namespace http
{

using Clock = std::chrono::steady_clock;

struct Request
{
    Target target;
    std::vector<std::string> captured; // the segments that stand for {..} in the route
    std::string_view method = "other"; // GET, HEAD or other, as the counters know it
    bool head = false;                 // HEAD: is answered as GET, the connection leaves the body out
    std::string host, accept, authorization, if_none_match;
    Clock::time_point arrived;
    const std::string *route = nullptr; // its pattern, once it is known
};

// A response whose body goes on and on, for server-sent events.
class Stream
{
public:
    virtual ~Stream() = default;
    // Sends this, or drops the client if it has not taken what was sent before for too long. After the client is gone it
    // does nothing.
    virtual void send(std::string_view data) = 0;
    virtual void end() = 0;
    // What was sent and has not been taken yet, in bytes: a feed may leave messages out for a slow client.
    virtual size_t unsent() const = 0;
};

// One request until it is answered. A handler calls respond() or stream() once, at once or later; it keeps the pointer
// until then. Everything happens on the one thread of the io_context. If the client is gone, respond() does nothing.
class Exchange
{
public:
    virtual ~Exchange() = default;

    const Request &request() const { return asked; }
    Request &request() { return asked; }

    virtual void respond(const Response &response) = 0;
    // Sends the head and keeps the connection for what follows. The callback is told once when the client is gone, or when
    // the service is about to stop. HEAD gets the head alone, and nothing is returned.
    virtual std::shared_ptr<Stream> stream(const Response &head, std::function<void()> on_end) = 0;
    // To be told once if the client hangs up before it was answered, or when the service is about to stop. For what takes
    // long: to look out for it has its price.
    virtual void on_hangup(std::function<void()> callback) = 0;

protected:
    Request asked;
};

using ExchangePtr = std::shared_ptr<Exchange>;
using Handler = std::function<void(const ExchangePtr &)>;

} // namespace http
