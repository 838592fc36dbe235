// A read of states, and what it is answered with. Status and data come from one statement, so a header never disagrees with
// its body.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "http/database.hpp"
#include "http/request.hpp"

namespace http
{

// The columns that read_state() and read_states() have in common.
struct Answer
{
    explicit Answer(const ReadResult &result);

    bool may_be_read() const { return status == "ready" || status == "stale"; }
    bool has_invalid_id() const { return may_be_read() && reason == "invalid_id"; } // of no instance, ever

    std::string_view status, reason;
    std::optional<std::string_view> generation, definition_hash, estimated_seconds_remaining;
    std::optional<std::string_view> position_text;
    std::optional<std::int64_t> position; // what the answer includes
};

// What a request asks of the database.
struct Question
{
    const Statement *statement;
    Parameters parameters;
    std::string query;
    std::optional<std::string> hash;
    // The response to rows that may be read.
    std::function<Response(const ReadResult &, const Answer &, const Request &)> render;
};

// Asks, and asks again if the query was taken over by another generation in between, or dropping it met the other reads of a batch.
void ask(Database &database, const Question &question, ReadCallback callback);

// The response to whatever came of a question.
Response answer_to(const Question &question, const ReadResult &result, const Request &request);

// The response to a statement that brought no rows, for whatever reason that is not the client's.
Response not_answered(const Statement &statement, const ReadResult &result);

// With the headers that tell of which generation and position it is.
void add_answer_headers(Response &response, const Answer &answer);

} // namespace http
