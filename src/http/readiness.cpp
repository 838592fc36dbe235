#include "http/readiness.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

namespace http
{

namespace
{

// What is told when several queries are not ready for different reasons, the first of these. "unknown" is a name or a
// definition that was asked for and is not there.
constexpr std::array<std::string_view, 6> precedence = {"failed", "unknown", "stalled",
                                                        "paused", "gated",   "rebuilding"};

size_t rank(std::string_view status)
{
    return static_cast<size_t>(std::find(precedence.begin(), precedence.end(), status) - precedence.begin());
}

void append_member(std::string &body, std::string_view name, std::optional<std::string_view> number)
{
    body.append(R"(,")").append(name).append(R"(":)").append(json_number(number));
}

void append_query(std::string &body, const QueryReadiness &query, bool with_status)
{
    body += R"({"name":)";
    append_json(body, query.name);
    append_member(body, "position", query.position);
    append_member(body, "lag", query.lag);
    append_member(body, "estimatedSecondsRemaining", query.estimated_seconds_remaining);
    if (with_status)
    {
        body += R"(,"status":)";
        append_json(body, query.status);
        body += R"(,"reason":)";
        append_json(body, query.reason);
    }
    body += "}";
}

} // namespace

Response readiness_response(const std::vector<QueryReadiness> &queries, bool one_meant)
{
    std::vector<const QueryReadiness *> missing;
    for (const QueryReadiness &query : queries)
    {
        if (!query.served)
            missing.push_back(&query);
    }
    Response response;
    if (missing.empty())
        response.body = R"({"status":"ready"})";
    else
    {
        const QueryReadiness &worst =
            **std::min_element(missing.begin(), missing.end(),
                               [](const auto *a, const auto *b) { return rank(a->status) < rank(b->status); });
        response.status = 503;
        response.body = R"({"status":)";
        append_json(response.body, worst.status);
        if (worst.status != "rebuilding")
        {
            response.body += R"(,"reason":)";
            append_json(response.body, worst.reason);
        }
        response.body += R"(,"queries":[)";
        std::optional<std::string_view> longest;
        const auto seconds = [](std::string_view text) { return std::strtod(std::string(text).c_str(), nullptr); };
        for (const QueryReadiness *query : missing)
        {
            if (query != missing.front())
                response.body += ',';
            // Where all are rebuilding there is nothing to tell apart.
            append_query(response.body, *query, worst.status != "rebuilding");
            const auto estimate = query->estimated_seconds_remaining;
            if (estimate && (!longest || seconds(*estimate) > seconds(*longest)))
                longest = estimate;
        }
        response.body += "]}";
        add_retry_after(response, worst.status, longest);
    }
    if (one_meant && queries.size() == 1)
    {
        const QueryReadiness &query = queries.front();
        if (query.served)
            add_generation_headers(response, *query.served, query.served_generation, query.served_definition_hash);
        else
            add_generation_headers(response, query.status, query.generation, query.definition_hash);
    }
    return response;
}

void add_retry_after(Response &response, std::string_view status, std::optional<std::string_view> estimated_seconds)
{
    constexpr double otherwise = 5;
    response.retry_after(status == "rebuilding" && estimated_seconds
                             ? std::strtod(std::string(*estimated_seconds).c_str(), nullptr)
                             : otherwise);
}

void add_generation_headers(Response &response, std::string_view status, std::optional<std::string_view> generation,
                            std::optional<std::string_view> definition_hash)
{
    response.header("X-Query-Status", std::string(status));
    if (generation)
        response.header("X-Query-Generation", std::string(*generation));
    if (definition_hash)
        response.header("X-Query-Definition-Hash", std::string(*definition_hash));
}

} // namespace http
