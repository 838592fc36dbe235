// Values are what their JSON says: order of members, digits, texts, limits, and memory.
#include "fold/json.hpp"
#include "fold/value.hpp"
#include "fold/view.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

using fold::Kind;
using fold::parse_json;
using fold::to_json;
using fold::Value;

namespace
{

std::string nested(int levels)
{
    return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
}

std::string fault_of(std::string_view json)
{
    try
    {
        parse_json(json);
    }
    catch (const fold::JsonError &error)
    {
        return error.pointer + ": " + error.what();
    }
    return "none";
}

} // namespace

TEST(Value, PrintsWhatWasRead)
{
    for (const char *json :
         {"null", "true", "false", "0", "-1.50", "\"\"", "\"sixteen bytes ..\"", "\"seventeen bytes .\"", "[]", "{}",
          "[1,[2,{}],\"x\",null]", R"({"b":1,"aa":[],"ab":{"":0}})", "\"é😀\"", R"("\"\\\b\f\n\r\t\u0001/")",
          "123456789012345678901234567890.00", "18446744073709551615", "-9223372036854775808"})
        EXPECT_EQ(to_json(parse_json(json)), json);
    EXPECT_EQ(to_json(parse_json("{\"b\":1,\"a\":2,\"ab\":3,\"\":4}")), R"({"":4,"a":2,"b":1,"ab":3})");
    EXPECT_EQ(to_json(parse_json("[-0, -0.0, 1e2, \"\\u00e9\\ud83d\\ude00\"]")), R"([0,0.0,100,"é😀"])");
    const std::string digits(4000, '7');
    EXPECT_EQ(to_json(parse_json(digits)), digits);
}

TEST(Value, RefusesWithItsPlaceWhatItCannotHold)
{
    EXPECT_EQ(fault_of(R"({"a":[1,{"b/c":"\u0000"}]})"), "/a/1/b~1c: a text contains \\u0000");
    EXPECT_EQ(fault_of(R"({"a\u0000":1})"), ": a member's name contains \\u0000");
    EXPECT_EQ(fault_of(R"({"a":{"b":1,"b":2}})"), "/a/b: the member comes twice");
    EXPECT_EQ(fault_of("[1e200000]"), "/0: a number has more than 4932 digits before the point");
    EXPECT_EQ(fault_of("{\"a\":1e-20000}").substr(0, 4), "/a: ");
    EXPECT_NE(fault_of("{").find("no JSON at byte"), std::string::npos);
    EXPECT_NE(fault_of("\"\xff\"").find("no JSON at byte"), std::string::npos);
    EXPECT_NE(fault_of("[1] 2").find("no JSON at byte"), std::string::npos);
    EXPECT_NE(fault_of(nested(1001)).find("nested too deeply"), std::string::npos);
    EXPECT_EQ(fault_of(nested(1000)), "none");
}

TEST(Value, KeepsItsMembersInJsonbsOrder)
{
    Value object = Value::object();
    std::mt19937 random(1);
    std::vector<std::string> names;
    for (int i = 0; i < 300; ++i)
    {
        const std::string name = std::to_string(random() % 2000);
        object.put(name, Value::text(name));
        names.push_back(name);
    }
    const auto members = object.members();
    for (std::size_t i = 1; i < members.size(); ++i)
        EXPECT_TRUE(fold::name_before(members[i - 1].name(), members[i].name()));
    for (const std::string &name : names)
        EXPECT_EQ(object.find(name)->text(), name);
    EXPECT_EQ(object.find("nothing"), nullptr);
    std::size_t left = object.size();
    for (const std::string &name : names)
    {
        const bool there = object.find(name) != nullptr;
        EXPECT_EQ(object.take(name).is(Kind::text), there);
        left -= there ? 1 : 0;
        EXPECT_EQ(object.size(), left);
    }
    EXPECT_EQ(to_json(object), "{}");
}

TEST(Value, TakesAndInsertsElements)
{
    Value array = parse_json(R"([0,"a text that is longer than sixteen",2,3,[4]])");
    EXPECT_EQ(array.take(std::size_t{1}).text(), "a text that is longer than sixteen");
    array.insert(0, Value::text("front"));
    array.insert(4, Value::text("last but one"));
    EXPECT_EQ(to_json(array), R"(["front",0,2,3,"last but one",[4]])");
    array.drop_front(2);
    array.truncate(3);
    EXPECT_EQ(to_json(array), R"([2,3,"last but one"])");
}

TEST(Value, IsEqualByValueAndIdenticalByBytes)
{
    const Value a = parse_json(R"({"n":1,"l":[1.0,{"x":"t"}]})");
    const Value b = parse_json(R"({"l":[1,{"x":"t"}],"n":1.00})");
    EXPECT_TRUE(a.equals(b));
    EXPECT_FALSE(a.identical(b));
    EXPECT_TRUE(a.identical(a.copy()));
    for (const char *other : {R"({"n":1})", R"({"n":1,"l":[1.0,{"x":"u"}]})", R"({"n":1,"l":[1.0,{"y":"t"}]})", "[]",
                              "null", R"({"n":1,"l":[1.0,{"x":"t"},2]})", R"({"n":true,"l":[1.0,{"x":"t"}]})"})
    {
        const Value c = parse_json(other);
        EXPECT_FALSE(a.equals(c)) << other;
        const fold::Located left{&fold::TreeReader::get(), fold::TreeReader::view(a)};
        const fold::Located right{&fold::TreeReader::get(), fold::TreeReader::view(c)};
        EXPECT_FALSE(fold::equals(left, right)) << other;
        EXPECT_FALSE(fold::identical(left, c)) << other;
        EXPECT_TRUE(fold::equals(right, right));
    }
    EXPECT_FALSE(parse_json("null").equals(parse_json("false")));
    EXPECT_FALSE(parse_json("true").equals(parse_json("false")));
}

TEST(Value, CountsItsMemory)
{
    EXPECT_EQ(parse_json("1").bytes(), 0u);
    EXPECT_EQ(parse_json("\"sixteen bytes ..\"").bytes(), 0u);
    EXPECT_EQ(parse_json("\"seventeen bytes .\"").bytes(), 32u);
    EXPECT_EQ(Value::array().bytes(), 0u);
    EXPECT_EQ(Value::array(4).bytes(), 112u);
    Value object = Value::object(2);
    const std::size_t empty = object.bytes();
    object.put("a name of more than sixteen bytes", Value::text(std::string(1000, 'x')));
    EXPECT_EQ(object.bytes(), empty + 48 + 1008);
    EXPECT_GT(parse_json("1e50").bytes(), 0u);
}

TEST(Value, NeverTakesMoreAsJsonbThanOneAndAHalfTimesItsMemory)
{
    // The updater relies on it: what is small enough in memory is not measured.
    for (const char *element : {"null", "1", "-170141183460469231731687303715884105728", "\"sixteen bytes ..\"",
                                "\"seventeen bytes .\"", "[]", "{}", "[1]", R"({"sixteen bytes ..":1.5})", "1e60"})
    {
        Value array = Value::array(1000);
        for (int i = 0; i < 1000; ++i)
            array.push_back(parse_json(element));
        EXPECT_LE(2 * array.jsonb_bytes(), 3 * array.bytes()) << element;
    }
}

TEST(Value, SaysWhatJsonbCannotHold)
{
    Value state = Value::object();
    state.put("a", Value::text(std::string(0x0FFFFFFF, 'x'))); // NOLINT(bugprone-string-constructor)
    EXPECT_THROW((void)state.jsonb_bytes(), fold::LimitError);
    state.put("a", Value::text(std::string(0x0FFFFF00, 'x'))); // NOLINT(bugprone-string-constructor)
    EXPECT_NO_THROW((void)state.jsonb_bytes());
}

TEST(Value, IsCopiedToACertainDepth)
{
    Value deep = parse_json(nested(1000));
    EXPECT_EQ(deep.depth(), 1000);
    EXPECT_EQ(to_json(deep.copy()), nested(1000));
    Value deeper = Value::array();
    deeper.push_back(std::move(deep));
    EXPECT_THROW((void)deeper.copy(), fold::LimitError);
}
