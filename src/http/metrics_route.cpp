// GET /metrics: how the queries, the sources and the service itself are. Without a database it tells what it knows without one.
#include <charconv>
#include <chrono>
#include <memory>

#include "http/fault.hpp"
#include "http/metrics.hpp"
#include "http/service.hpp"
#include "http/shared_read.hpp"

namespace http
{

namespace
{

// In the order of the statement.
enum Column
{
    kind,
    name,
    status,
    definition_hash,
    generation,
    serving_generation,
    position,
    lag,
    lag_seconds,
    events_applied,
    remaining_seconds,
    instances,
    bytes,
    dead_letters,
    failures,
    batches,
    events_replayed,
    rebuild_seconds,
    settled_position,
    head_position,
    pending_hole,
    blocking_writers,
    blocked_seconds,
    events_read,
    lock_lookups,
};

class Row
{
public:
    Row(const ReadResult &result, int row) : result(result), row(row) {}

    std::string text(Column column) const { return std::string(result.text(row, column).value_or("")); }
    std::optional<std::int64_t> integer(Column column) const { return number<std::int64_t>(column); }
    std::optional<double> real(Column column) const { return number<double>(column); }

private:
    template <class Number>
    std::optional<Number> number(Column column) const
    {
        const std::optional<std::string_view> digits = result.text(row, column);
        Number value{};
        if (!digits || std::from_chars(digits->data(), digits->data() + digits->size(), value).ec != std::errc())
            return std::nullopt;
        return value;
    }

    const ReadResult &result;
    int row;
};

QueryMetrics query_of(const Row &row)
{
    return {.name = row.text(name),
            .status = row.text(status),
            .definition_hash = row.text(definition_hash),
            .generation = row.integer(generation),
            .serving_generation = row.integer(serving_generation),
            .position = row.integer(position),
            .lag = row.integer(lag),
            .events_applied = row.integer(events_applied),
            .events_replayed = row.integer(events_replayed),
            .batches = row.integer(batches),
            .failures = row.integer(failures),
            .dead_letters = row.integer(dead_letters),
            .instances = row.integer(instances),
            .bytes = row.integer(bytes),
            .lag_seconds = row.real(lag_seconds),
            .rebuild_seconds = row.real(rebuild_seconds),
            .remaining_seconds = row.real(remaining_seconds)};
}

SourceMetrics source_of(const Row &row)
{
    return {.name = row.text(name),
            .settled_position = row.integer(settled_position),
            .head_position = row.integer(head_position),
            .pending_hole = row.integer(pending_hole),
            .blocking_writers = row.integer(blocking_writers),
            .batches = row.integer(batches),
            .events_read = row.integer(events_read),
            .lock_lookups = row.integer(lock_lookups),
            .blocked_seconds = row.real(blocked_seconds)};
}

// What a scrape knows of the database, or why it knows nothing.
struct Known
{
    explicit Known(const ReadResult &result) : fault(fault_of(result))
    {
        for (int number = 0; number < result.rows(); number++)
        {
            const Row row(result, number);
            if (row.text(kind) == "query")
                metrics.queries.push_back(query_of(row));
            else if (row.text(kind) == "source")
                metrics.sources.push_back(source_of(row));
            else
                fault = queries_hidden;
        }
    }

    std::string fault;
    DatabaseMetrics metrics;
};

class Metrics
{
public:
    explicit Metrics(Service &service)
        : service(service),
          started(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count())
    {
    }

    void answer(const ExchangePtr &exchange)
    {
        const MetricsFormat format = metrics_format(exchange->request().accept);
        const auto begin = [this](std::function<void(const Known &)> done)
        {
            service.database.read(statements::metrics, {},
                                  [done = std::move(done)](const ReadResult &result) { done(Known(result)); });
        };
        reads.ask("", begin,
                  [this, format, exchange](const Known &known)
                  {
                      Response response;
                      response.type = content_type_of(format);
                      response.header("Vary", "Accept");
                      response.body = metrics_text({.database = known.fault.empty() ? &known.metrics : nullptr,
                                                    .fault = known.fault,
                                                    .service = &service.counters,
                                                    .version = READMODEL_VERSION,
                                                    .start_time_seconds = started,
                                                    .pool_size = service.options.pool_size,
                                                    .queue_size = service.options.queue_size,
                                                    .max_connections = service.options.max_connections,
                                                    .max_unsent = service.options.max_unsent},
                                                   format);
                      exchange->respond(response);
                  });
    }

private:
    Service &service;
    double started;
    SharedReads<Known> reads;
};

} // namespace

void add_metrics_routes(Service &service)
{
    service.router.add("/metrics", Access::guarded,
                       [metrics = std::make_shared<Metrics>(service)](const ExchangePtr &exchange)
                       { metrics->answer(exchange); });
}

} // namespace http
