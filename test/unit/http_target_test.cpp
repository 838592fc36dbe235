// What a request's target is taken for: exactly what was meant, or refused.
#include "http/target.hpp"

#include <gtest/gtest.h>

using http::parse_target;
using http::Target;

namespace
{

Target parsed(std::string_view text)
{
    std::string fault;
    const auto target = parse_target(text, fault);
    EXPECT_TRUE(target) << text << ": " << fault;
    return target.value_or(Target());
}

bool refused(std::string_view text)
{
    std::string fault;
    const bool is = !parse_target(text, fault);
    EXPECT_EQ(is, !fault.empty()) << "a refusal says why, and nothing else does";
    return is;
}

using Segments = std::vector<std::string>;
using Parameters = std::vector<std::pair<std::string, std::string>>;

} // namespace

TEST(HttpTarget, SegmentsOfAPath)
{
    EXPECT_EQ(parsed("/").segments, Segments());
    EXPECT_EQ(parsed("/health").segments, Segments({"health"}));
    EXPECT_EQ(parsed("/queries/orders/7").segments, Segments({"queries", "orders", "7"}));
}

TEST(HttpTarget, AnEmptySegmentIsOne)
{
    EXPECT_EQ(parsed("/queries/orders/").segments, Segments({"queries", "orders", ""}));
    EXPECT_EQ(parsed("//").segments, Segments({"", ""}));
}

TEST(HttpTarget, AnEncodedSlashDividesNothing)
{
    EXPECT_EQ(parsed("/queries/a%2Fb").segments, Segments({"queries", "a/b"}));
    EXPECT_EQ(parsed("/a%3Fb%23c%25").segments, Segments({"a?b#c%"}));
}

TEST(HttpTarget, DotsMeanNothing)
{
    EXPECT_EQ(parsed("/queries/../x/.").segments, Segments({"queries", "..", "x", "."}));
}

TEST(HttpTarget, Parameters)
{
    EXPECT_EQ(parsed("/ready?query=a&query=b").parameters, Parameters({{"query", "a"}, {"query", "b"}}));
    EXPECT_EQ(parsed("/x?a&b=&=c&&d=e=f").parameters, Parameters({{"a", ""}, {"b", ""}, {"", "c"}, {"d", "e=f"}}));
    EXPECT_EQ(parsed("/x?").parameters, Parameters());
    EXPECT_EQ(parsed("/x?a=b#c").parameters, Parameters({{"a", "b"}}));
}

TEST(HttpTarget, PlusIsABlankInParametersOnly)
{
    EXPECT_EQ(parsed("/a+b?c+d=e%2Bf").segments, Segments({"a+b"}));
    EXPECT_EQ(parsed("/a+b?c+d=e%2Bf").parameters, Parameters({{"c d", "e+f"}}));
}

TEST(HttpTarget, AbsoluteForm)
{
    EXPECT_EQ(parsed("http://host:80/health?x=1").segments, Segments({"health"}));
    EXPECT_EQ(parsed("HTTPS://host/health").segments, Segments({"health"}));
    EXPECT_EQ(parsed("http://host").segments, Segments());
    EXPECT_EQ(parsed("http://host?x=1").parameters, Parameters({{"x", "1"}}));
}

TEST(HttpTarget, WhatIsNoPathIsRefused)
{
    for (const char *text : {"", "health", "*", "host:80", "?a=b", "ftp://host/"})
        EXPECT_TRUE(refused(text)) << text;
}

TEST(HttpTarget, BrokenEncodingIsRefused)
{
    for (const char *text : {"/%", "/%4", "/%zz", "/%4g", "/x?%", "/x?a=%1"})
        EXPECT_TRUE(refused(text)) << text;
}

TEST(HttpTarget, WhatCannotBeStoredIsRefused)
{
    for (const char *text : {"/%00", "/x?a=%00", "/%ff", "/%c0%80", "/%e0%80%80", "/%ed%a0%80", "/%f4%90%80%80",
                             "/%f8%88%80%80%80", "/%c3", "/%c3%28", "/%80", "/\xff"})
        EXPECT_TRUE(refused(text)) << text;
}

TEST(HttpTarget, EveryCharacterOfUnicodeIsTaken)
{
    for (const char *text : {"/%7f", "/%c2%80", "/%df%bf", "/%e0%a0%80", "/%ed%9f%bf", "/%ee%80%80", "/%ef%bf%bf",
                             "/%f0%90%80%80", "/%f4%8f%bf%bf", "/\xc3\xa4"})
        EXPECT_EQ(parsed(text).segments.size(), 1u) << text;
}

TEST(HttpTarget, EncodingComesBack)
{
    std::string all;
    for (int c = 1; c < 128; c++)
        all += static_cast<char>(c);
    all += "\xc3\xa4\xf0\x9f\x98\x80";
    EXPECT_EQ(parsed("/" + http::percent_encoded(all)).segments, Segments({all}));
    EXPECT_EQ(parsed("/?" + http::percent_encoded(all)).parameters, Parameters({{all, ""}}));
}
