// What the service counts about itself, for /metrics: requests by route and status code, and how long they took.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace http
{

// Upper bounds in seconds; above the last one lies one more bucket.
inline constexpr std::array<double, 14> latency_bounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                          0.025,  0.05,    0.1,    0.25,  1,      5,     30};

struct LatencyHistogram
{
    std::array<std::uint64_t, latency_bounds.size() + 1> buckets{}; // not cumulative
    std::uint64_t count = 0;
    double sum = 0; // seconds

    void add(double seconds);
};

struct RouteCounters
{
    std::map<std::pair<std::string_view, unsigned>, std::uint64_t> by_method_and_status; // methods of static duration
    LatencyHistogram latency;
};

struct ServiceCounters
{
    // By the pattern of the route; "" for what reached none (unknown paths, requests that could not be read).
    std::map<std::string, RouteCounters, std::less<>> routes;
    std::uint64_t connections_accepted = 0;
    std::uint64_t connections_open = 0;
    std::uint64_t connections_handled = 0; // whose request is being answered
    std::uint64_t connections_evicted = 0; // closed to make room
    std::uint64_t connections_timed_out = 0;
    std::uint64_t bytes_unsent = 0; // kept for clients that have not taken them yet
    std::uint64_t database_connections = 0;
    std::uint64_t database_connects = 0; // since the start
    std::uint64_t statements = 0;
    std::uint64_t statements_refused = 0; // the queue was full, or they waited too long in it
    std::uint64_t statements_waiting = 0;
    std::uint64_t position_waits = 0; // requests that wait now

    void record(std::string_view route, std::string_view method, unsigned status,
                std::chrono::steady_clock::duration took);
};

} // namespace http
