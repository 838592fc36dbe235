#include "http/reading.hpp"

#include <chrono>
#include <map>

#include "http/log.hpp"
#include "http/readiness.hpp"

namespace http
{

namespace
{

enum Column
{
    status_column,
    reason_column,
    generation_column,
    definition_hash_column,
    position_column,
    estimate_column,
};

constexpr unsigned most_takeovers = 3; // one after another, while we ask

void ask_again(Database &database, const Question &question, ReadCallback callback, unsigned tries)
{
    database.read(*question.statement, question.parameters,
                  [&database, question, callback = std::move(callback), tries](const ReadResult &result)
                  {
                      if ((result.sqlstate == "40001" || result.sqlstate == "40P01") && tries < most_takeovers)
                          ask_again(database, question, callback, tries + 1);
                      else
                          callback(result);
                  });
}

std::string quoted(const std::string &query)
{
    return "\"" + query + "\"";
}

Response not_read(const Question &question, const Answer &answer)
{
    if (answer.status == "unknown")
        return problem(404, "there is no query " + quoted(question.query) +
                                (answer.reason == "definition_hash" ? " with this definition hash" : ""));
    // A rebuild is all that there is to say of it; what else is in the way has a name.
    Response response = status_response(503, answer.status, answer.status == "rebuilding" ? "" : answer.reason);
    add_retry_after(response, answer.status, answer.estimated_seconds_remaining);
    return response;
}

Response rows_response(const Question &question, const ReadResult &result, const Answer &answer, const Request &request)
{
    if (!answer.may_be_read())
        return not_read(question, answer);
    if (answer.has_invalid_id())
        return problem(400, "the id is no value of the type that the ids of query " + quoted(question.query) + " have");
    return question.render(result, answer, request);
}

// Every request may meet the same error: it is logged once in a while.
void log_refusal(const Statement &statement, const std::string &sqlstate)
{
    constexpr auto pause = std::chrono::seconds(10);
    static std::map<std::pair<std::string_view, std::string>, Clock::time_point> logged;
    const auto now = Clock::now();
    const auto [last, first] = logged.try_emplace({statement.name, sqlstate}, now);
    if (!first && now - last->second < pause)
        return;
    last->second = now;
    log::warning("a statement failed", {{"statement", statement.name}, {"sqlstate", sqlstate}});
}

Response no_query_available()
{
    Response response = unavailable();
    response.header("X-Query-Status", "unavailable");
    return response;
}

// The message of an error can quote data, so it is not passed on.
Response refused(const Question &question, const std::string &sqlstate)
{
    if (sqlstate == "42501")
        return problem(403, "the service may not read query " + quoted(question.query));
    std::string members = R"(,"sqlstate":)";
    append_json(members, sqlstate);
    log_refusal(*question.statement, sqlstate);
    // Out of resources, cancelled, a lock: it may go better next time.
    for (const std::string_view transient : {"53", "57", "40", "55"})
    {
        if (sqlstate.starts_with(transient))
            return problem(503, "the database could not answer now", members).retry_after(1);
    }
    // The extension is being dropped, or updated.
    if (sqlstate == "3F000" || sqlstate == "42883" || sqlstate == "42P01")
        return no_query_available();
    return problem(500, "the database raised an error", members);
}

} // namespace

Answer::Answer(const ReadResult &result)
    : status(result.text(0, status_column).value_or("")),
      reason(result.text(0, reason_column).value_or("")),
      generation(result.text(0, generation_column)),
      definition_hash(result.text(0, definition_hash_column)),
      estimated_seconds_remaining(result.text(0, estimate_column)),
      position_text(result.text(0, position_column)),
      position(result.integer(0, position_column))
{
}

void ask(Database &database, const Question &question, ReadCallback callback)
{
    ask_again(database, question, std::move(callback), 0);
}

void add_answer_headers(Response &response, const Answer &answer)
{
    add_generation_headers(response, answer.status, answer.generation, answer.definition_hash);
    if (answer.position_text)
        response.header("X-Query-Position", std::string(*answer.position_text));
}

Response answer_to(const Question &question, const ReadResult &result, const Request &request)
{
    switch (result.kind)
    {
    case ReadResult::Kind::rows:
    {
        const Answer answer(result);
        Response response = rows_response(question, result, answer, request);
        if (answer.status != "unknown")
            add_answer_headers(response, answer);
        return response;
    }
    case ReadResult::Kind::error:
        return refused(question, result.sqlstate);
    case ReadResult::Kind::unavailable:
        return no_query_available();
    case ReadResult::Kind::overloaded:
    case ReadResult::Kind::no_turn:
        break;
    }
    return not_answered(*question.statement, result);
}

Response not_answered(const Statement &statement, const ReadResult &result)
{
    if (result.kind == ReadResult::Kind::error)
        log_refusal(statement, result.sqlstate);
    if (result.kind == ReadResult::Kind::overloaded)
        return overloaded();
    return result.kind == ReadResult::Kind::no_turn ? no_turn() : unavailable();
}

} // namespace http
