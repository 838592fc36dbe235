// What a page that is opened later is told of the last minutes.
#include "http/lag_history.hpp"

#include <gtest/gtest.h>

namespace
{

std::string json(const http::LagHistory &history)
{
    std::string text;
    history.append_json(text);
    return text;
}

TEST(LagHistory, IsEmptyAtFirst)
{
    EXPECT_EQ(json(http::LagHistory(1000)), R"({"at":[],"lag":{}})");
}

TEST(LagHistory, KeepsAllListsAsLongAsTheTimes)
{
    http::LagHistory history(10'000);
    history.begin(1000);
    history.add("a", 5);
    history.begin(2000);
    history.add("a", 3);
    history.add("b", 7); // comes later
    history.begin(3000);
    history.add("b", std::nullopt);
    history.add("a", 0);
    EXPECT_EQ(json(history), R"({"at":[1000,2000,3000],"lag":{"a":[5,3,0],"b":[null,7,null]}})");
}

TEST(LagHistory, ForgetsWhatIsOlderThanItsWindow)
{
    http::LagHistory history(300'000);
    for (int64_t second = 0; second < 1000; second++)
    {
        history.begin(second * 1000);
        history.add("a", second);
    }
    EXPECT_EQ(history.samples(), 301U);
    // After an hour in which no page was open.
    history.begin(4'600'000);
    history.add("a", 1);
    EXPECT_EQ(json(history), R"({"at":[4600000],"lag":{"a":[1]}})");
}

TEST(LagHistory, ForgetsQueriesThatAreGone)
{
    http::LagHistory history(2000);
    history.begin(1000);
    history.add("dropped", 1);
    history.add("kept", 1);
    for (int64_t at = 2000; at <= 4000; at += 1000)
    {
        history.begin(at);
        history.add("kept", 1);
    }
    EXPECT_EQ(history.queries(), 1U);
}

TEST(LagHistory, BeginsAnewWhenTheClockIsSetBack)
{
    http::LagHistory history(10'000);
    history.begin(5000);
    history.add("a", 1);
    history.begin(4000);
    history.add("a", 2);
    EXPECT_EQ(json(history), R"({"at":[4000],"lag":{"a":[2]}})");
}

TEST(LagHistory, WritesNamesAsJson)
{
    http::LagHistory history(10'000);
    history.begin(1000);
    history.add("a\"b\\\n", 1);
    EXPECT_EQ(json(history), R"({"at":[1000],"lag":{"a\"b\\\n":[1]}})");
}

} // namespace
