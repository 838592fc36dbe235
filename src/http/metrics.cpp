#include "http/metrics.hpp"

#include <array>
#include <charconv>

#include "http/exposition.hpp"

namespace http
{

namespace
{

constexpr std::array<std::string_view, 6> statuses = {"ready", "rebuilding", "failed", "paused", "gated", "stalled"};

template <class Entry, class Value>
void of_each(Exposition &out, const std::vector<Entry> &entries, std::string_view label, Value Entry::*value)
{
    for (const Entry &entry : entries)
        out.sample({{label, entry.name}}, entry.*value);
}

void write_queries(Exposition &out, const std::vector<QueryMetrics> &queries)
{
    const auto each = [&](auto QueryMetrics::*value) { of_each(out, queries, "query", value); };

    out.family(Metric::state_set, "readmodel_query_status",
               "Status of the query's newest generation: 1 for the one that it has.");
    for (const QueryMetrics &query : queries)
        out.states({{"query", query.name}}, statuses, query.status);
    out.family(Metric::info, "readmodel_query_definition", "The query's newest generation and its definition hash.");
    for (const QueryMetrics &query : queries)
    {
        const std::string generation = query.generation ? std::to_string(*query.generation) : "";
        out.sample({{"query", query.name}, {"generation", generation}, {"definition_hash", query.definition_hash}},
                   std::int64_t{1});
    }
    out.family(Metric::gauge, "readmodel_query_generation", "Number of the query's newest generation.");
    each(&QueryMetrics::generation);
    out.family(Metric::gauge, "readmodel_query_serving_generation", "Number of the generation that the view shows.");
    each(&QueryMetrics::serving_generation);
    out.family(Metric::gauge, "readmodel_query_position",
               "Position that the newest generation has been advanced over.");
    each(&QueryMetrics::position);
    out.family(Metric::gauge, "readmodel_query_lag_from_head_events",
               "Positions between the newest generation and the head of its source, an upper bound of the events that "
               "are not applied.",
               "events");
    each(&QueryMetrics::lag);
    out.family(Metric::gauge, "readmodel_query_lag_seconds",
               "How long ago a live query that is behind had applied every event there was.", "seconds");
    each(&QueryMetrics::lag_seconds);
    out.family(Metric::counter, "readmodel_query_events_applied",
               "Events that the newest generation has applied. Begins anew with each generation.");
    each(&QueryMetrics::events_applied);
    out.family(Metric::counter, "readmodel_query_rebuild_events_replayed",
               "Events that the rebuild of the newest generation has applied; stands still once it is live. Begins "
               "anew with each generation.");
    each(&QueryMetrics::events_replayed);
    out.family(Metric::gauge, "readmodel_query_rebuild_duration_seconds",
               "How long the rebuild of the newest generation took, or has taken until now.", "seconds");
    each(&QueryMetrics::rebuild_seconds);
    out.family(Metric::gauge, "readmodel_query_rebuild_remaining_seconds",
               "Estimate of how long the rebuild will still take.", "seconds");
    each(&QueryMetrics::remaining_seconds);
    out.family(Metric::counter, "readmodel_query_batches",
               "Transactions that stored progress of the query, since the database server started.");
    each(&QueryMetrics::batches);
    out.family(Metric::counter, "readmodel_query_failures",
               "How often a generation of the query has failed, since the database server started.");
    each(&QueryMetrics::failures);
    out.family(Metric::gauge, "readmodel_query_dead_letters",
               "Events that were passed over and not given up, of the newest and the serving generation.");
    each(&QueryMetrics::dead_letters);
    out.family(Metric::gauge, "readmodel_query_instances", "States of the newest generation.");
    each(&QueryMetrics::instances);
    out.family(Metric::gauge, "readmodel_query_states_bytes",
               "Size of the newest generation's table of states with its indexes.", "bytes");
    each(&QueryMetrics::bytes);
}

void write_sources(Exposition &out, const std::vector<SourceMetrics> &sources)
{
    const auto each = [&](auto SourceMetrics::*value) { of_each(out, sources, "source", value); };

    out.family(Metric::gauge, "readmodel_source_settled_position",
               "No event can be committed at or below this position any more.");
    each(&SourceMetrics::settled_position);
    out.family(Metric::gauge, "readmodel_source_head_position", "The highest position of a committed event.");
    each(&SourceMetrics::head_position);
    out.family(Metric::gauge, "readmodel_source_pending_hole_position",
               "The first missing position that an open transaction may still fill; no sample if there is none.");
    each(&SourceMetrics::pending_hole);
    out.family(Metric::gauge, "readmodel_source_blocking_writers",
               "Open transactions that hold events up, as far as they are told.");
    each(&SourceMetrics::blocking_writers);
    out.family(Metric::gauge, "readmodel_source_oldest_blocking_writer_age_seconds",
               "Age of the oldest transaction that holds events up; 0 without one.", "seconds");
    each(&SourceMetrics::blocked_seconds);
    out.family(Metric::counter, "readmodel_source_batches",
               "Pages of events that the tail worker has read, since it started.");
    each(&SourceMetrics::batches);
    out.family(Metric::counter, "readmodel_source_events_read",
               "Events that the tail worker has read, since it started.");
    each(&SourceMetrics::events_read);
    out.family(Metric::counter, "readmodel_source_lock_lookups",
               "How often the tail worker has asked the lock table who could still write, since it started.");
    each(&SourceMetrics::lock_lookups);
}

std::string_view route_label(const std::string &route)
{
    return route.empty() ? "none" : std::string_view(route);
}

void write_service(Exposition &out, const ServiceCounters &service, const MetricsInput &input)
{
    const auto one = [&](Metric kind, std::string_view name, std::string_view help, std::uint64_t value)
    {
        out.family(kind, name, help);
        out.sample({}, value);
    };

    out.family(Metric::counter, "readmodel_http_requests",
               "Requests that were answered, by the pattern of their route (none: they reached none), method and "
               "status code.");
    for (const auto &[route, counters] : service.routes)
        for (const auto &[kind, count] : counters.by_method_and_status)
        {
            const std::string code = std::to_string(kind.second);
            out.sample({{"route", route_label(route)}, {"method", kind.first}, {"code", code}}, count);
        }
    out.family(Metric::histogram, "readmodel_http_request_duration_seconds",
               "Time from the arrival of a request's header to its answer.", "seconds");
    for (const auto &[route, counters] : service.routes)
        out.histogram({{"route", route_label(route)}}, counters.latency);

    one(Metric::gauge, "readmodel_http_connections", "Connections of clients that are open.", service.connections_open);
    one(Metric::gauge, "readmodel_http_connections_handled",
        "Connections of clients whose request is being answered, seven eighths of the limit at most.",
        service.connections_handled);
    one(Metric::gauge, "readmodel_http_connections_limit", "Connections of clients that may be open.",
        input.max_connections);
    one(Metric::counter, "readmodel_http_connections_accepted", "Connections of clients that were accepted.",
        service.connections_accepted);
    one(Metric::counter, "readmodel_http_connections_evicted", "Connections that were closed to make room for others.",
        service.connections_evicted);
    one(Metric::counter, "readmodel_http_connections_timed_out", "Connections whose client was too slow.",
        service.connections_timed_out);
    one(Metric::gauge, "readmodel_http_unsent_bytes", "Bytes of answers that clients have not taken.",
        service.bytes_unsent);
    one(Metric::gauge, "readmodel_http_unsent_limit_bytes",
        "Bytes of answers that clients may leave untaken, before those that have taken nothing for longest are closed.",
        input.max_unsent);
    one(Metric::gauge, "readmodel_http_position_waits", "Requests that wait for a position now.",
        service.position_waits);
    one(Metric::gauge, "readmodel_http_database_connections", "Connections to the database that are open.",
        service.database_connections);
    one(Metric::gauge, "readmodel_http_database_connections_limit",
        "Connections to the database that there are if all is well.", input.pool_size);
    one(Metric::counter, "readmodel_http_database_connects", "Connections to the database that were made.",
        service.database_connects);
    one(Metric::counter, "readmodel_http_statements", "Statements that were asked for.", service.statements);
    one(Metric::counter, "readmodel_http_statements_refused",
        "Statements that were refused, since the queue was full, or that waited too long in it.",
        service.statements_refused);
    one(Metric::gauge, "readmodel_http_statements_waiting", "Statements that wait for a connection to the database.",
        service.statements_waiting);
    one(Metric::gauge, "readmodel_http_statements_waiting_limit",
        "Statements that may wait for a connection to the database.", input.queue_size);
    out.family(Metric::info, "readmodel_http_build", "Version of the service.");
    out.sample({{"version", input.version}}, std::int64_t{1});
    out.family(Metric::gauge, "process_start_time_seconds", "When the service started, in seconds since 1970.",
               "seconds");
    out.sample({}, input.start_time_seconds);
}

// One range of the header Accept.
struct Range
{
    std::string_view type, subtype;
    double quality = 1;
};

std::string_view trimmed(std::string_view text)
{
    constexpr std::string_view blank = " \t";
    const size_t begin = text.find_first_not_of(blank);
    return begin == std::string_view::npos ? std::string_view()
                                           : text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

// Takes what stands before the separator off the text; none of ours is in quotes.
std::string_view next_part(std::string_view &text, char separator)
{
    const size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    return trimmed(part);
}

bool same(std::string_view given, std::string_view lower_case)
{
    return given.size() == lower_case.size() &&
           std::equal(given.begin(), given.end(), lower_case.begin(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

Range range_of(std::string_view text)
{
    Range range;
    std::string_view media = next_part(text, ';');
    range.type = next_part(media, '/');
    range.subtype = media;
    while (!text.empty())
    {
        std::string_view parameter = next_part(text, ';');
        const std::string_view name = next_part(parameter, '=');
        if (!same(name, "q"))
            continue;
        parameter = trimmed(parameter);
        double quality = 0;
        if (std::from_chars(parameter.data(), parameter.data() + parameter.size(), quality).ec == std::errc() &&
            quality >= 0 && quality <= 1)
            range.quality = quality;
    }
    return range;
}

// How much the client wants a type, by the closest of the ranges that include it.
struct Preference
{
    double quality = 0; // 0: not at all
    bool named = false; // itself, and not by an asterisk
};

Preference preference_for(std::string_view accept, std::string_view type, std::string_view subtype)
{
    int closest = -1;
    double quality = 0;
    while (!accept.empty())
    {
        const Range range = range_of(next_part(accept, ','));
        int close = -1;
        if (same(range.type, type))
            close = same(range.subtype, subtype) ? 2 : range.subtype == "*" ? 1 : -1;
        else if (range.type == "*" && range.subtype == "*")
            close = 0;
        if (close < 0 || close < closest)
            continue;
        // Of the same type with several parameters (versions) the best one counts.
        quality = close > closest ? range.quality : std::max(quality, range.quality);
        closest = close;
    }
    return {quality, closest == 2};
}

} // namespace

MetricsFormat metrics_format(std::string_view accept)
{
    const Preference openmetrics = preference_for(accept, "application", "openmetrics-text");
    return openmetrics.named && openmetrics.quality > 0 &&
                   openmetrics.quality >= preference_for(accept, "text", "plain").quality
               ? MetricsFormat::openmetrics
               : MetricsFormat::prometheus_text;
}

std::string_view content_type_of(MetricsFormat format)
{
    return format == MetricsFormat::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                : "text/plain; version=0.0.4; charset=utf-8";
}

std::string metrics_text(const MetricsInput &input, MetricsFormat format)
{
    Exposition out(format);
    out.family(Metric::gauge, "readmodel_up",
               "1: the database has told how the queries are. 0: it has not, see readmodel_down_info.");
    out.sample({}, std::int64_t{input.database ? 1 : 0});
    out.family(Metric::info, "readmodel_down", "Why the database has not told: there while readmodel_up is 0.");
    if (!input.database)
        out.sample({{"reason", input.fault}}, std::int64_t{1});
    else
    {
        write_queries(out, input.database->queries);
        write_sources(out, input.database->sources);
    }
    if (input.service)
        write_service(out, *input.service, input);
    return out.finish();
}

} // namespace http
