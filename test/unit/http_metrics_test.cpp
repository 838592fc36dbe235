// The text of /metrics in both of its formats, which of them a client gets, and that no label can break it.
#include "http/metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "http/exposition.hpp"

using http::DatabaseMetrics;
using http::MetricsFormat;
using http::QueryMetrics;
using http::ServiceCounters;

namespace
{

std::vector<std::string> lines_of(const std::string &text)
{
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

bool has_line(const std::string &text, const std::string &line)
{
    const std::vector<std::string> lines = lines_of(text);
    return std::find(lines.begin(), lines.end(), line) != lines.end();
}

DatabaseMetrics two_queries_and_a_source()
{
    DatabaseMetrics database;
    database.queries.push_back({.name = "orders",
                                .status = "rebuilding",
                                .definition_hash = "abc",
                                .generation = 3,
                                .serving_generation = 2,
                                .position = 10,
                                .lag = 90,
                                .events_applied = 8,
                                .events_replayed = 8,
                                .batches = 4,
                                .failures = 1,
                                .dead_letters = 2,
                                .instances = 5,
                                .bytes = 8192,
                                .lag_seconds = 1.5,
                                .rebuild_seconds = 0.25,
                                .remaining_seconds = 12});
    QueryMetrics unknown;
    unknown.name = "unknown";
    unknown.status = "gated";
    database.queries.push_back(unknown);
    database.sources.push_back({.name = "shop",
                                .settled_position = 99,
                                .head_position = 100,
                                .pending_hole = 42,
                                .blocking_writers = 1,
                                .batches = 7,
                                .events_read = 70,
                                .lock_lookups = 3,
                                .blocked_seconds = 2.5});
    return database;
}

ServiceCounters some_requests()
{
    ServiceCounters counters;
    counters.record("/ready", "GET", 200, std::chrono::microseconds(50));
    counters.record("/ready", "GET", 200, std::chrono::microseconds(100)); // a bound belongs to its bucket
    counters.record("/ready", "HEAD", 503, std::chrono::milliseconds(2));
    counters.record("", "other", 400, std::chrono::minutes(1));
    return counters;
}

std::string everything(MetricsFormat format)
{
    const DatabaseMetrics database = two_queries_and_a_source();
    const ServiceCounters counters = some_requests();
    return metrics_text(
        {.database = &database, .service = &counters, .version = "1.2.3", .start_time_seconds = 1.5, .pool_size = 4},
        format);
}

// The family of a sample, and the line without its value.
std::string sample_key(const std::string &line)
{
    return line.substr(0, line.rfind(' '));
}

} // namespace

TEST(Metrics, WritesEachValueOfAQuery)
{
    const std::string text = everything(MetricsFormat::openmetrics);
    for (const char *line : {
             R"(readmodel_up 1)",
             R"(readmodel_query_status{query="orders",readmodel_query_status="rebuilding"} 1)",
             R"(readmodel_query_status{query="orders",readmodel_query_status="ready"} 0)",
             R"(readmodel_query_status{query="unknown",readmodel_query_status="gated"} 1)",
             R"(readmodel_query_definition_info{query="orders",generation="3",definition_hash="abc"} 1)",
             R"(readmodel_query_generation{query="orders"} 3)",
             R"(readmodel_query_serving_generation{query="orders"} 2)",
             R"(readmodel_query_position{query="orders"} 10)",
             R"(readmodel_query_lag_from_head_events{query="orders"} 90)",
             R"(readmodel_query_lag_seconds{query="orders"} 1.5)",
             R"(readmodel_query_events_applied_total{query="orders"} 8)",
             R"(readmodel_query_rebuild_events_replayed_total{query="orders"} 8)",
             R"(readmodel_query_rebuild_duration_seconds{query="orders"} 0.25)",
             R"(readmodel_query_rebuild_remaining_seconds{query="orders"} 12.0)",
             R"(readmodel_query_batches_total{query="orders"} 4)",
             R"(readmodel_query_failures_total{query="orders"} 1)",
             R"(readmodel_query_dead_letters{query="orders"} 2)",
             R"(readmodel_query_instances{query="orders"} 5)",
             R"(readmodel_query_states_bytes{query="orders"} 8192)",
             R"(readmodel_source_settled_position{source="shop"} 99)",
             R"(readmodel_source_head_position{source="shop"} 100)",
             R"(readmodel_source_pending_hole_position{source="shop"} 42)",
             R"(readmodel_source_blocking_writers{source="shop"} 1)",
             R"(readmodel_source_oldest_blocking_writer_age_seconds{source="shop"} 2.5)",
             R"(readmodel_source_batches_total{source="shop"} 7)",
             R"(readmodel_source_events_read_total{source="shop"} 70)",
             R"(readmodel_source_lock_lookups_total{source="shop"} 3)",
             R"(readmodel_http_build_info{version="1.2.3"} 1)",
             R"(readmodel_http_database_connections_limit 4)",
             R"(process_start_time_seconds 1.5)",
         })
        EXPECT_TRUE(has_line(text, line)) << line;
}

TEST(Metrics, SaysNothingOfWhatIsNotKnown)
{
    const std::string text = everything(MetricsFormat::openmetrics);
    EXPECT_EQ(text.find(R"(readmodel_query_lag_seconds{query="unknown")"), std::string::npos);
    EXPECT_EQ(text.find(R"(readmodel_query_failures_total{query="unknown")"), std::string::npos);
}

TEST(Metrics, WritesExactlyOneStatusPerQuery)
{
    const std::string text = everything(MetricsFormat::openmetrics);
    int states = 0;
    int present = 0;
    for (const std::string &line : lines_of(text))
        if (line.starts_with(R"(readmodel_query_status{query="orders")"))
        {
            states++;
            present += line.ends_with(" 1");
        }
    EXPECT_EQ(states, 6);
    EXPECT_EQ(present, 1);
}

TEST(Metrics, CountsRequestsAndTheirLatencies)
{
    const std::string text = everything(MetricsFormat::openmetrics);
    for (const char *line : {
             R"(readmodel_http_requests_total{route="/ready",method="GET",code="200"} 2)",
             R"(readmodel_http_requests_total{route="/ready",method="HEAD",code="503"} 1)",
             R"(readmodel_http_requests_total{route="none",method="other",code="400"} 1)",
             R"(readmodel_http_request_duration_seconds_bucket{route="/ready",le="0.0001"} 2)",
             R"(readmodel_http_request_duration_seconds_bucket{route="/ready",le="0.001"} 2)",
             R"(readmodel_http_request_duration_seconds_bucket{route="/ready",le="0.0025"} 3)",
             R"(readmodel_http_request_duration_seconds_bucket{route="/ready",le="1.0"} 3)",
             R"(readmodel_http_request_duration_seconds_bucket{route="/ready",le="+Inf"} 3)",
             R"(readmodel_http_request_duration_seconds_count{route="/ready"} 3)",
             R"(readmodel_http_request_duration_seconds_bucket{route="none",le="30.0"} 0)",
             R"(readmodel_http_request_duration_seconds_bucket{route="none",le="+Inf"} 1)",
             R"(readmodel_http_request_duration_seconds_sum{route="none"} 60.0)",
         })
        EXPECT_TRUE(has_line(text, line)) << line;
}

TEST(Metrics, WithoutADatabaseTellsOfTheServiceAlone)
{
    const ServiceCounters counters = some_requests();
    const std::string text =
        metrics_text({.fault = "busy", .service = &counters, .version = "1"}, MetricsFormat::openmetrics);
    EXPECT_TRUE(has_line(text, "readmodel_up 0"));
    EXPECT_TRUE(has_line(text, R"(readmodel_down_info{reason="busy"} 1)"));
    EXPECT_TRUE(has_line(text, R"(readmodel_http_requests_total{route="/ready",method="GET",code="200"} 2)"));
    EXPECT_EQ(text.find("readmodel_query_"), std::string::npos);
    EXPECT_EQ(text.find("readmodel_source_"), std::string::npos);
}

TEST(Metrics, EscapesLabels)
{
    DatabaseMetrics database;
    QueryMetrics query;
    query.name = "a\"b\\c\nd} 1\nreadmodel_up 0";
    query.status = "ready";
    query.lag = 7;
    database.queries.push_back(query);
    const std::string text = metrics_text({.database = &database}, MetricsFormat::prometheus_text);
    EXPECT_TRUE(has_line(text, R"(readmodel_query_lag_from_head_events{query="a\"b\\c\nd} 1\nreadmodel_up 0"} 7)"));
    EXPECT_FALSE(has_line(text, "readmodel_up 0\"} 7"));
}

// The rules of OpenMetrics that a reader relies on: each family once, with all of its samples, and no sample twice.
TEST(Metrics, WritesEachFamilyAndEachSampleOnce)
{
    for (const MetricsFormat format : {MetricsFormat::openmetrics, MetricsFormat::prometheus_text})
    {
        std::set<std::string> families;
        std::set<std::string> samples;
        std::string family;
        for (const std::string &line : lines_of(everything(format)))
        {
            if (line.starts_with("# TYPE "))
            {
                family = line.substr(7, line.find(' ', 7) - 7);
                EXPECT_TRUE(families.insert(family).second) << line;
            }
            else if (line.starts_with("# "))
                EXPECT_TRUE(line == "# EOF" || line.substr(7).starts_with(family + " ")) << line;
            else
            {
                EXPECT_TRUE(line.starts_with(family)) << line;
                EXPECT_TRUE(samples.insert(sample_key(line)).second) << line;
            }
        }
        EXPECT_GT(families.size(), 35U);
    }
}

TEST(Metrics, OpenMetricsNamesFamiliesAndUnitsAndEnds)
{
    const std::string text = everything(MetricsFormat::openmetrics);
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_query_rebuild_events_replayed counter"));
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_query_status stateset"));
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_query_definition info"));
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_http_request_duration_seconds histogram"));
    EXPECT_TRUE(text.ends_with("\n# EOF\n"));
    for (const std::string &line : lines_of(text))
        if (line.starts_with("# UNIT "))
        {
            const std::string name = line.substr(7, line.find(' ', 7) - 7);
            EXPECT_TRUE(name.ends_with("_" + line.substr(8 + name.size()))) << line;
        }
}

TEST(Metrics, TheOlderFormatNamesSamplesAndKnowsNoUnits)
{
    const std::string text = everything(MetricsFormat::prometheus_text);
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_query_rebuild_events_replayed_total counter"));
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_query_status gauge"));
    EXPECT_TRUE(has_line(text, "# TYPE readmodel_query_definition_info gauge"));
    EXPECT_EQ(text.find("# UNIT"), std::string::npos);
    EXPECT_TRUE(text.ends_with("\n# EOF\n")); // a comment here
}

// Dashboards do not depend on which format was scraped.
TEST(Metrics, BothFormatsHaveTheSameSamples)
{
    const auto samples_in = [](MetricsFormat format)
    {
        std::vector<std::string> samples = lines_of(everything(format));
        std::erase_if(samples, [](const std::string &line) { return line.starts_with("#"); });
        return samples;
    };
    EXPECT_EQ(samples_in(MetricsFormat::openmetrics), samples_in(MetricsFormat::prometheus_text));
}

TEST(Metrics, WritesNumbersThatAreNone)
{
    DatabaseMetrics database;
    QueryMetrics query;
    query.name = "q";
    query.lag_seconds = std::numeric_limits<double>::infinity();
    query.remaining_seconds = std::numeric_limits<double>::quiet_NaN();
    query.rebuild_seconds = 1e-7;
    database.queries.push_back(query);
    const std::string text = metrics_text({.database = &database}, MetricsFormat::openmetrics);
    EXPECT_TRUE(has_line(text, R"(readmodel_query_lag_seconds{query="q"} +Inf)"));
    EXPECT_TRUE(has_line(text, R"(readmodel_query_rebuild_remaining_seconds{query="q"} NaN)"));
    EXPECT_TRUE(has_line(text, R"(readmodel_query_rebuild_duration_seconds{query="q"} 1e-07)"));
}

TEST(MetricsFormat, IsWhatTheClientPrefers)
{
    const std::map<std::string, MetricsFormat> wanted = {
        {"", MetricsFormat::prometheus_text},
        {"*/*", MetricsFormat::prometheus_text},
        {"text/html", MetricsFormat::prometheus_text},
        {"text/plain", MetricsFormat::prometheus_text},
        {"TEXT/Plain;version=0.0.4", MetricsFormat::prometheus_text},
        {"text/*", MetricsFormat::prometheus_text},
        {"application/openmetrics-text", MetricsFormat::openmetrics},
        {"application/*", MetricsFormat::prometheus_text},
        {"application/openmetrics-text;q=0", MetricsFormat::prometheus_text},
        {"application/openmetrics-text;q=0.1, */*;q=0.1", MetricsFormat::openmetrics},
        {"application/openmetrics-text; q=0.5, text/plain", MetricsFormat::prometheus_text},
        {"application/openmetrics-text, text/plain", MetricsFormat::openmetrics},
        {"application/openmetrics-text;q=0, */*", MetricsFormat::prometheus_text},
        {"text/plain;q=0.3, */*;q=0.2", MetricsFormat::prometheus_text},
        {"text/plain;q=0.1, */*;q=0.2", MetricsFormat::prometheus_text},
        {"text/plain;q=0, text/*", MetricsFormat::prometheus_text},
        {"text/plain ; q = 0.9 , application/openmetrics-text ; q = 0.8", MetricsFormat::prometheus_text},
        {"text/plain;q=nonsense", MetricsFormat::prometheus_text},
        {",;,=/;q", MetricsFormat::prometheus_text},
        // Prometheus 2.42, and one that is told to take the older format.
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/"
         "plain;version=0.0.4;q=0.5,*/*;q=0.1",
         MetricsFormat::openmetrics},
        {"text/plain;version=0.0.4,*/*;q=0.1", MetricsFormat::prometheus_text},
    };
    for (const auto &[accept, format] : wanted)
        EXPECT_EQ(http::metrics_format(accept), format) << accept;
}
