#include "http/service_counters.hpp"

#include <algorithm>

namespace http
{

void LatencyHistogram::add(double seconds)
{
    const auto bound = std::lower_bound(latency_bounds.begin(), latency_bounds.end(), seconds);
    buckets[static_cast<size_t>(bound - latency_bounds.begin())]++;
    count++;
    sum += seconds;
}

void ServiceCounters::record(std::string_view route, std::string_view method, unsigned status,
                             std::chrono::steady_clock::duration took)
{
    auto found = routes.find(route);
    if (found == routes.end())
        found = routes.emplace(route, RouteCounters{}).first;
    found->second.by_method_and_status[{method, status}]++;
    found->second.latency.add(std::chrono::duration<double>(took).count());
}

} // namespace http
