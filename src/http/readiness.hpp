// What the rows of readiness_report() come to: the body of /ready. It adds up what the database says of each query and decides
// nothing by itself.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "http/response.hpp"

namespace http
{

// As the database wrote it; numbers are digits, nothing is NULL.
struct QueryReadiness
{
    std::string_view name, status, reason;
    std::optional<std::string_view> generation, definition_hash, position, lag, estimated_seconds_remaining;
    std::optional<std::string_view> served; // what a read of it would be answered as: "ready", "stale", or not at all
    std::optional<std::string_view> served_generation, served_definition_hash; // which generation that would be
};

// one_meant: the request named one query, so the headers can tell which generation and definition are spoken of.
Response readiness_response(const std::vector<QueryReadiness> &queries, bool one_meant);

// While it rebuilds, the seconds that are left, where they are known.
void add_retry_after(Response &response, std::string_view status, std::optional<std::string_view> estimated_seconds);

// The headers that name a generation.
void add_generation_headers(Response &response, std::string_view status, std::optional<std::string_view> generation,
                            std::optional<std::string_view> definition_hash);

} // namespace http
