// GET /queries: the queries and their status. GET /queries/{name}: its states, page by page. GET /queries/{name}/{id}: one.
#include <algorithm>
#include <memory>

#include "http/etag.hpp"
#include "http/parameters.hpp"
#include "http/reading.hpp"
#include "http/report.hpp"
#include "http/service.hpp"
#include "http/shared_read.hpp"
#include "http/waits.hpp"

namespace http
{

namespace
{

constexpr std::int64_t standard_page = 100, largest_page = 1000;

enum Column
{
    state_column = 6,
    state_position_column,
    updated_at_column,
    id_column,
    followed_column,
};

Response one_state(const ReadResult &result, const Answer &answer, const Request &request)
{
    const auto state = result.text(0, state_column);
    if (!state)
        return problem(404, "there is no instance with this id");
    Response response;
    const std::string etag =
        entity_tag(answer.generation.value_or(""), answer.definition_hash.value_or(""),
                   result.text(0, state_position_column).value_or(""), result.text(0, updated_at_column).value_or(""));
    if (matches(request.if_none_match, etag))
        response.status = 304;
    else
        response.body = *state;
    response.header("ETag", etag);
    return response;
}

// One more than the page has was asked for, to see whether there is another page. There may be fewer: those that would be too much at once
// are left for the next.
Response page_of_states(const ReadResult &result, const std::string &query, std::int64_t limit,
                        const std::optional<std::string> &hash)
{
    const bool any = result.text(0, id_column).has_value();
    const auto count = static_cast<int>(std::min<std::int64_t>(any ? result.rows() : 0, limit));
    Response response;
    response.body = "[";
    for (int row = 0; row < count; row++)
    {
        if (row > 0)
            response.body += ',';
        response.body += result.text(row, state_column).value_or("null");
    }
    response.body += "]";
    if (count > 0 && result.text(count - 1, followed_column) == "t")
    {
        std::string link = "</queries/" + percent_encoded(query) + "?limit=" + std::to_string(limit) +
                           "&after=" + percent_encoded(*result.text(count - 1, id_column));
        if (hash)
            link += "&hash=" + *hash;
        response.header("Link", link + R"(>; rel="next")");
    }
    return response;
}

Response overview(const ReadResult &result)
{
    if (std::optional<Response> response = unreported(result))
        return std::move(*response);
    Response response;
    response.body = "[";
    for (int row = 0; row < result.rows(); row++)
    {
        const auto text = [&](std::string_view member, int column)
        {
            response.body.append(R"(,")").append(member).append(R"(":)");
            const auto value = result.text(row, column);
            if (value)
                append_json(response.body, *value);
            else
                response.body += "null";
        };
        const auto number = [&](std::string_view member, int column)
        { response.body.append(R"(,")").append(member).append(R"(":)").append(json_number(result.text(row, column))); };
        response.body += row > 0 ? R"(,{"name":)" : R"({"name":)";
        append_json(response.body, result.text(row, report::name).value_or(""));
        text("status", report::status);
        text("reason", report::reason);
        text("served", report::served);
        number("servedGeneration", report::served_generation);
        text("servedDefinitionHash", report::served_definition_hash);
        number("generation", report::generation);
        text("definitionHash", report::definition_hash);
        number("position", report::position);
        number("lag", report::lag);
        number("estimatedSecondsRemaining", report::estimated_seconds_remaining);
        response.body += "}";
    }
    response.body += "]";
    return response;
}

class Queries
{
public:
    explicit Queries(Service &service)
        : database(service.database),
          options(service.options),
          waits(service.context, service.database, service.options, service.counters)
    {
    }

    void list(const ExchangePtr &exchange)
    {
        const std::string fault = ParameterReader(exchange->request().target).fault();
        if (!fault.empty())
            return exchange->respond(problem(400, fault));
        overviews.ask(
            "",
            [this](std::function<void(const Response &)> done)
            {
                database.read(statements::readiness_report, {std::nullopt, std::nullopt, "false"},
                              [done = std::move(done)](const ReadResult &result) { done(overview(result)); });
            },
            [exchange](const Response &response) { exchange->respond(response); });
    }

    void page(const ExchangePtr &exchange)
    {
        ParameterReader parameters(exchange->request().target);
        const std::string &query = exchange->request().captured[0];
        const std::optional<std::string> hash = parameters.hash("hash"), after = parameters.text("after");
        const std::int64_t limit = parameters.number("limit", 1, largest_page).value_or(standard_page);
        answer(exchange, parameters,
               {&statements::read_states,
                {query, after, std::to_string(limit + 1), hash},
                query,
                hash,
                [query, limit, hash](const ReadResult &result, const Answer &, const Request &)
                { return page_of_states(result, query, limit, hash); }});
    }

    void one(const ExchangePtr &exchange)
    {
        ParameterReader parameters(exchange->request().target);
        const std::vector<std::string> &captured = exchange->request().captured;
        const std::optional<std::string> hash = parameters.hash("hash");
        answer(exchange, parameters,
               {&statements::read_state, {captured[0], captured[1], hash}, captured[0], hash, one_state});
    }

private:
    void answer(const ExchangePtr &exchange, ParameterReader &parameters, Question question)
    {
        const auto wanted = parameters.number("min_position", 0, INT64_MAX);
        const auto timeout = parameters.number("timeout", 0, options.max_wait.count());
        std::string fault = parameters.fault();
        if (fault.empty() && timeout && !wanted)
            fault = "the parameter \"timeout\" needs \"min_position\"";
        if (!fault.empty())
            return exchange->respond(problem(400, fault));
        if (wanted)
            return waits.answer(exchange, std::move(question), *wanted,
                                timeout ? std::chrono::milliseconds(*timeout) : options.default_wait);
        ask(database, question,
            [exchange, question](const ReadResult &result)
            { exchange->respond(answer_to(question, result, exchange->request())); });
    }

    Database &database;
    const Options &options;
    Waits waits;
    SharedReads<Response> overviews;
};

} // namespace

void add_query_routes(Service &service)
{
    const auto queries = std::make_shared<Queries>(service);
    service.router.add("/queries", Access::guarded,
                       [queries](const ExchangePtr &exchange) { queries->list(exchange); });
    service.router.add("/queries/{name}", Access::guarded,
                       [queries](const ExchangePtr &exchange) { queries->page(exchange); });
    service.router.add("/queries/{name}/{id}", Access::guarded,
                       [queries](const ExchangePtr &exchange) { queries->one(exchange); });
}

} // namespace http
