// Entity tags, what adds up to the body of /ready, and what a response looks like on the wire.
#include "http/etag.hpp"
#include "http/parameters.hpp"
#include "http/readiness.hpp"
#include "http/response.hpp"
#include "http/shared_read.hpp"

#include <cmath>

#include <gtest/gtest.h>

using namespace http;

TEST(HttpEntityTag, DiffersWithAllThatMayChangeTheState)
{
    const std::string tag = entity_tag("1", "0123456789abcdef", "7", "2026-11-22 20:00:00.5+00");
    EXPECT_NE(tag, entity_tag("2", "0123456789abcdef", "7", "2026-11-22 20:00:00.5+00"));
    EXPECT_NE(tag, entity_tag("1", "1123456789abcdef", "7", "2026-11-22 20:00:00.5+00"));
    EXPECT_NE(tag, entity_tag("1", "0123456789abcdef", "8", "2026-11-22 20:00:00.5+00"));
    EXPECT_NE(tag, entity_tag("1", "0123456789abcdef", "7", "2026-11-22 20:00:00.51+00"));
    EXPECT_EQ(tag, entity_tag("1", "0123456789abcdef", "7", "2026-11-22 20:00:00.5+00"));
    EXPECT_EQ(tag.find_first_of(" \t\r\n\"", 1), tag.size() - 1) << "only visible characters between its quotes";
}

TEST(HttpEntityTag, IfNoneMatch)
{
    EXPECT_TRUE(matches("\"a\"", "\"a\""));
    EXPECT_TRUE(matches("W/\"a\"", "\"a\""));
    EXPECT_TRUE(matches(" \"b\" , W/\"c\",\"a\"", "\"a\""));
    EXPECT_TRUE(matches("*", "\"a\""));
    EXPECT_TRUE(matches("\"x,y\", \"a\"", "\"a\"")) << "a comma may stand in a tag";
    for (const char *text : {"", "a", "\"b\"", "\"a", "a\"", "\"aa\"", "W/a", ",", "\"b\" junk \"a\""})
        EXPECT_FALSE(matches(text, "\"a\"")) << text;
}

namespace
{

QueryReadiness query(std::string_view name, std::string_view status, std::string_view reason = "")
{
    QueryReadiness result{.name = name,
                          .status = status,
                          .reason = reason,
                          .generation = "3",
                          .definition_hash = "abc",
                          .position = "5",
                          .lag = "2",
                          .estimated_seconds_remaining = {},
                          .served = {},
                          .served_generation = {},
                          .served_definition_hash = {}};
    if (status == "ready")
        result.served = "ready";
    return result;
}

std::string header(const Response &response, std::string_view name)
{
    for (const auto &[header, value] : response.headers)
    {
        if (header == name)
            return value;
    }
    return "";
}

} // namespace

TEST(HttpReadiness, NoQueriesAreReady)
{
    EXPECT_EQ(readiness_response({}, false).status, 200u);
    EXPECT_EQ(readiness_response({}, false).body, R"({"status":"ready"})");
}

TEST(HttpReadiness, OnlyWhatIsMissingIsListed)
{
    auto slow = query("slow", "rebuilding");
    slow.estimated_seconds_remaining = "12.3";
    const Response response = readiness_response({query("a", "ready"), slow}, false);
    EXPECT_EQ(response.status, 503u);
    EXPECT_EQ(
        response.body,
        R"({"status":"rebuilding","queries":[{"name":"slow","position":5,"lag":2,"estimatedSecondsRemaining":12.3}]})");
    EXPECT_EQ(header(response, "Retry-After"), "13");
}

TEST(HttpReadiness, TheWorstIsTold)
{
    const std::vector<std::string_view> order = {"failed", "unknown", "stalled", "paused", "gated", "rebuilding"};
    for (size_t worse = 0; worse < order.size(); worse++)
    {
        for (size_t better = worse; better < order.size(); better++)
        {
            const Response response =
                readiness_response({query("a", order[better], "r"), query("b", order[worse], "r")}, false);
            EXPECT_EQ(response.status, 503u);
            EXPECT_TRUE(response.body.starts_with("{\"status\":\"" + std::string(order[worse]) + "\""))
                << response.body;
        }
    }
    EXPECT_TRUE(readiness_response({query("a", "failed", "timeout")}, false)
                    .body.starts_with(R"({"status":"failed","reason":"timeout","queries":[)"));
}

TEST(HttpReadiness, WhatIsServedCounts)
{
    auto stale = query("a", "rebuilding");
    stale.served = "stale";
    stale.served_generation = "2";
    stale.served_definition_hash = "old";
    const Response response = readiness_response({stale}, true);
    EXPECT_EQ(response.status, 200u);
    EXPECT_EQ(header(response, "X-Query-Status"), "stale");
    EXPECT_EQ(header(response, "X-Query-Generation"), "2");
    EXPECT_EQ(header(response, "X-Query-Definition-Hash"), "old");
}

TEST(HttpReadiness, EachStatusHasAReasonButARebuild)
{
    for (const std::string_view status : {"failed", "unknown", "stalled", "paused", "gated"})
    {
        const Response response = readiness_response(
            {query("a", "rebuilding", "r"), query("b", status, "s"), query("c", status, "t")}, false);
        EXPECT_TRUE(response.body.starts_with("{\"status\":\"" + std::string(status) + R"(","reason":"s",)"))
            << response.body;
        EXPECT_EQ(header(response, "Retry-After"), "5");
    }
    EXPECT_EQ(header(readiness_response({query("a", "rebuilding")}, false), "Retry-After"), "5");
}

TEST(HttpReadiness, AStatusThatIsNotKnownIsNotReady)
{
    EXPECT_EQ(readiness_response({query("a", "new")}, false).status, 503u);
}

TEST(HttpResponse, Problem)
{
    const Response response = problem(404, "no \"x\"", R"(,"more":1)");
    EXPECT_EQ(response.body, R"({"type":"about:blank","title":"Not Found","status":404,"detail":"no \"x\"","more":1})");
}

TEST(HttpResponse, FixedBodies)
{
    EXPECT_EQ(status_response(503, "rebuilding").body, R"({"status":"rebuilding"})");
    EXPECT_EQ(status_response(503, "failed", "updater_error").body, R"({"status":"failed","reason":"updater_error"})");
    EXPECT_EQ(unavailable().body, R"({"status":"unavailable"})");
}

TEST(HttpResponse, RetryAfterIsAWholeNumberOfSeconds)
{
    for (const auto &[seconds, expected] : std::vector<std::pair<double, std::string>>{
             {0, "1"}, {-5, "1"}, {0.2, "1"}, {1.01, "2"}, {90, "90"}, {1e9, "3600"}, {NAN, "1"}, {INFINITY, "1"}})
        EXPECT_EQ(header(Response().retry_after(seconds), "Retry-After"), expected) << seconds;
}

TEST(HttpResponse, OnTheWire)
{
    Response response = status_response(200, "ok");
    std::string out;
    write_response(out, response, {}, "now");
    EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nDate: now\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                   "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}");
    const std::string whole = out;
    out.clear();
    write_response(out, response, {.keep_alive = true, .http_1_0 = false, .head_only = true}, "now");
    EXPECT_EQ(out + response.body, whole);
    out.clear();
    response.status = 304;
    write_response(out, response, {.keep_alive = false, .http_1_0 = false, .head_only = false}, "now");
    EXPECT_TRUE(out.ends_with("Connection: close\r\n\r\n")) << out;
    EXPECT_EQ(out.find("\r\nContent-"), std::string::npos) << out;
}

TEST(HttpResponse, StringsAsJson)
{
    std::string out;
    append_json(out, std::string("\"\\\n\x01\x1f\x7f ä/", 10));
    EXPECT_EQ(out, "\"\\\"\\\\\\n\\u0001\\u001f\x7f ä/\"");
}

TEST(HttpResponse, NumbersAsJson)
{
    EXPECT_EQ(json_number("7"), "7");
    EXPECT_EQ(json_number("1e+25"), "1e+25");
    for (const auto text : {"NaN", "Infinity", "-Infinity"})
        EXPECT_EQ(json_number(text), "null");
    EXPECT_EQ(json_number(std::nullopt), "null");
    auto slow = query("slow", "rebuilding");
    slow.estimated_seconds_remaining = "Infinity";
    const Response response = readiness_response({slow}, true);
    EXPECT_NE(response.body.find(R"("estimatedSecondsRemaining":null)"), std::string::npos) << response.body;
}

TEST(HttpParameters, OnlyWhatIsKnownAndSound)
{
    const auto fault = [](const char *name, const char *value, auto read)
    {
        Target target;
        target.parameters.emplace_back(name, value);
        ParameterReader reader(target);
        read(reader);
        return reader.fault();
    };
    const auto number = [](ParameterReader &reader) { reader.number("n", 0, 10); };
    EXPECT_EQ(fault("n", "10", number), "");
    for (const char *value : {"", "11", "-1", "1.0", " 1", "1 ", "+1", "0x1", "99999999999999999999"})
        EXPECT_NE(fault("n", value, number), "") << value;
    EXPECT_NE(fault("m", "1", number), "");
    const auto hash = [](ParameterReader &reader) { reader.hash("h"); };
    EXPECT_EQ(fault("h", std::string(64, 'a').c_str(), hash), "");
    for (const std::string &value :
         {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), std::string(64, 'g')})
        EXPECT_NE(fault("h", value.c_str(), hash), "") << value;
}

TEST(HttpSharedReads, NobodyGetsAReadThatBeganBeforeHeCame)
{
    SharedReads<int> reads;
    std::vector<std::function<void(const int &)>> begun;
    const auto begin = [&](std::function<void(const int &)> done) { begun.push_back(std::move(done)); };
    std::vector<int> got(5, -1);
    const auto take = [&](size_t who) { return [&got, who](const int &result) { got[who] = result; }; };

    reads.ask("key", begin, take(0));
    ASSERT_EQ(begun.size(), 1u);
    reads.ask("key", begin, take(1));
    reads.ask("key", begin, take(2));
    EXPECT_EQ(begun.size(), 1u) << "one at a time";
    reads.ask("another key", begin, take(3));
    EXPECT_EQ(begun.size(), 2u);
    begun[0](10);
    EXPECT_EQ(got, std::vector<int>({10, -1, -1, -1, -1})) << "the others came after it had begun";
    ASSERT_EQ(begun.size(), 3u);
    reads.ask("key", begin, take(4));
    begun[2](20);
    EXPECT_EQ(got, std::vector<int>({10, 20, 20, -1, -1}));
    begun[3](30);
    begun[1](40);
    EXPECT_EQ(got, std::vector<int>({10, 20, 20, 40, 30}));
}
