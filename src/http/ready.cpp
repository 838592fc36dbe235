// GET /ready: whether the queries may be read, all of them or those that are named.
#include <memory>
#include <set>
#include <string_view>

#include "http/parameters.hpp"
#include "http/readiness.hpp"
#include "http/report.hpp"
#include "http/service.hpp"
#include "http/shared_read.hpp"

namespace http
{

namespace
{

Response rendered(const ReadResult &result, bool one_meant)
{
    if (std::optional<Response> response = unreported(result))
        return std::move(*response);
    std::vector<QueryReadiness> queries;
    queries.reserve(static_cast<size_t>(result.rows()));
    for (int row = 0; row < result.rows(); row++)
        queries.push_back({.name = result.text(row, report::name).value_or(""),
                           .status = result.text(row, report::status).value_or(""),
                           .reason = result.text(row, report::reason).value_or(""),
                           .generation = result.text(row, report::generation),
                           .definition_hash = result.text(row, report::definition_hash),
                           .position = result.text(row, report::position),
                           .lag = result.text(row, report::lag),
                           .estimated_seconds_remaining = result.text(row, report::estimated_seconds_remaining),
                           .served = result.text(row, report::served),
                           .served_generation = result.text(row, report::served_generation),
                           .served_definition_hash = result.text(row, report::served_definition_hash)});
    return readiness_response(queries, one_meant);
}

// In the order in which they come first.
std::vector<std::string> each_once(const std::vector<std::string> &names)
{
    std::vector<std::string> once;
    std::set<std::string_view> seen;
    for (const std::string &name : names)
        if (seen.insert(name).second)
            once.push_back(name);
    return once;
}

// The body is made once for all who share the read.
class Ready
{
public:
    explicit Ready(Database &database) : database(database) {}

    void answer(const ExchangePtr &exchange)
    {
        ParameterReader parameters(exchange->request().target);
        const std::vector<std::string> names = each_once(parameters.texts("query"));
        const std::optional<std::string> hash = parameters.hash("hash");
        std::string fault = parameters.fault();
        if (fault.empty() && hash && names.empty())
            fault = "the parameter \"hash\" needs \"query\"";
        if (!fault.empty())
            return exchange->respond(problem(400, fault));
        const std::optional<std::string> array = names.empty() ? std::nullopt : std::optional(text_array(names));
        reads.ask(
            array.value_or("") + hash.value_or(""),
            [this, array, hash, one_meant = names.size() == 1](std::function<void(const Response &)> done)
            {
                // What is ready is of interest only where it is the one that was asked for: its headers.
                database.read(statements::readiness_report, {array, hash, one_meant ? "false" : "true"},
                              [one_meant, done = std::move(done)](const ReadResult &result)
                              { done(rendered(result, one_meant)); });
            },
            [exchange](const Response &response) { exchange->respond(response); });
    }

private:
    Database &database;
    SharedReads<Response> reads;
};

} // namespace

void add_ready_routes(Service &service)
{
    service.router.add("/ready", Access::guarded,
                       [ready = std::make_shared<Ready>(service.database)](const ExchangePtr &exchange)
                       { ready->answer(exchange); });
}

} // namespace http
