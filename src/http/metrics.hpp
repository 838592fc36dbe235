// What /metrics says, as text. Knows neither the database nor the network: it writes down what it is given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/service_counters.hpp"

namespace http
{

// What is not known has no sample.
struct QueryMetrics
{
    std::string name, status, definition_hash;
    std::optional<std::int64_t> generation, serving_generation, position, lag, events_applied, events_replayed, batches,
        failures, dead_letters, instances, bytes;
    std::optional<double> lag_seconds, rebuild_seconds, remaining_seconds;
};

struct SourceMetrics
{
    std::string name;
    std::optional<std::int64_t> settled_position, head_position, pending_hole, blocking_writers, batches, events_read,
        lock_lookups;
    std::optional<double> blocked_seconds; // the age of the oldest writer's transaction
};

// Of the database; without it there is nothing of all this.
struct DatabaseMetrics
{
    std::vector<QueryMetrics> queries;
    std::vector<SourceMetrics> sources;
};

struct MetricsInput
{
    const DatabaseMetrics *database = nullptr; // null: it has not told
    std::string_view fault{};                  // why, as a code
    const ServiceCounters *service = nullptr;
    std::string_view version{};
    double start_time_seconds = 0; // since 1970
    std::uint64_t pool_size = 0, queue_size = 0, max_connections = 0, max_unsent = 0;
};

enum class MetricsFormat
{
    openmetrics,     // 1.0
    prometheus_text, // 0.0.4
};

// OpenMetrics where the header Accept names it and prefers nothing else: what knows only the older format, as promtool and most that
// a person pipes it into, asks for nothing.
MetricsFormat metrics_format(std::string_view accept);

// With version and character set.
std::string_view content_type_of(MetricsFormat format);

std::string metrics_text(const MetricsInput &input, MetricsFormat format);

} // namespace http
