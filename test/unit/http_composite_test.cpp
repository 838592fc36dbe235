// What a composite value in PostgreSQL's binary form says.
#include "http/composite.hpp"

#include <stdexcept>

#include <gtest/gtest.h>

namespace
{

using namespace std::string_literals;
using http::Composite;

std::string integer(std::uint32_t number)
{
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes += static_cast<char>(number >> static_cast<unsigned>(shift));
    return bytes;
}

std::string column(std::uint32_t type, const std::string &value)
{
    return integer(type) + integer(static_cast<std::uint32_t>(value.size())) + value;
}

constexpr std::uint32_t int8 = 20, int4 = 23, text = 25, float8 = 701, timestamptz = 1184, jsonb = 3802;

TEST(Composite, GivesItsColumnsAsText)
{
    const std::string bytes = integer(8) + column(text, "ready") + integer(text) + integer(UINT32_MAX) +
                              column(int4, "\xff\xff\xff\xfe"s) + column(int8, "\x7f\xff\xff\xff\xff\xff\xff\xff"s) +
                              column(float8, "\x3f\xe0\0\0\0\0\0\0"s) + column(jsonb, "\1{\"a\": 1}"s) +
                              column(timestamptz, "\0\0\0\0\0\0\1\0"s) + column(text, "");
    const Composite value(bytes);
    EXPECT_EQ(value.column(0), "ready");
    EXPECT_EQ(value.column(1), std::nullopt);
    EXPECT_EQ(value.column(2), "-2");
    EXPECT_EQ(value.column(3), "9223372036854775807");
    EXPECT_EQ(value.column(4), "0.5");
    EXPECT_EQ(value.column(5), R"({"a": 1})");
    EXPECT_EQ(value.column(6), "256");
    EXPECT_EQ(value.column(7), "");
    EXPECT_EQ(value.column(8), std::nullopt);
    EXPECT_EQ(value.column(-1), std::nullopt);
}

TEST(Composite, RefusesWhatIsNone)
{
    const std::string whole = integer(2) + column(text, "ready") + column(jsonb, "\1{}");
    EXPECT_NO_THROW(Composite{whole});
    for (size_t length = 0; length < whole.size(); length++)
        EXPECT_THROW(Composite(std::string_view(whole).substr(0, length)), std::invalid_argument) << length;
    EXPECT_THROW(Composite(whole + "x"), std::invalid_argument);
    EXPECT_THROW(Composite(integer(UINT32_MAX)), std::invalid_argument);
    EXPECT_THROW(Composite(integer(1) + column(2950, std::string(16, 'x'))), std::invalid_argument); // uuid
    EXPECT_THROW(Composite(integer(1) + column(jsonb, "\2{}")), std::invalid_argument);
    EXPECT_THROW(Composite(integer(1) + column(jsonb, "")), std::invalid_argument);
    EXPECT_THROW(Composite(integer(1) + column(int4, "12345")), std::invalid_argument);
    EXPECT_THROW(Composite(integer(1) + column(int8, "1234")), std::invalid_argument);
}

} // namespace
