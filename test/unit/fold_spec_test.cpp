// What is no spec is refused with its place, what was found, what is allowed, and the word that was probably meant.
#include "fold/spec.hpp"
#include "fold/syntax.hpp"
#include "fold/words.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

using fold::Spec;
using fold::SpecError;

namespace
{

#define QUOTED(better)                                                                                                 \
    "A name with other characters is quoted, and within JSON the quotes are escaped: perhaps you meant " better "."

constexpr const char *no_expressions = "There are no expressions: let the event bring the result.";
constexpr const char *each_by_each = "To take the members of a list one by one, use a key with \"each\".";
constexpr const char *other_name = "Give one of them another name.";
constexpr const char *an_object = "Give \"a\" an object, or leave one of them out.";

struct Fault
{
    const char *spec;
    const char *pointer;
    const char *detail; // a part of it
    const char *hint = "";
};

void PrintTo(const Fault &fault, std::ostream *out)
{
    *out << fault.spec;
}

class SpecFaults : public testing::TestWithParam<Fault>
{
};

TEST_P(SpecFaults, AreNamedWithTheirPlace)
{
    const Fault &fault = GetParam();
    try
    {
        Spec::parse(fault.spec);
        FAIL() << "was accepted";
    }
    catch (const SpecError &error)
    {
        EXPECT_EQ(error.pointer, fault.pointer);
        EXPECT_EQ(error.what(), "invalid spec at " + (error.pointer.empty() ? std::string("the top level")
                                                                            : std::string(fault.pointer)));
        EXPECT_NE(error.detail.find(fault.detail), std::string::npos) << error.detail;
        EXPECT_EQ(error.detail.back(), '.');
        EXPECT_EQ(error.hint, fault.hint);
    }
}

// A spec around a step, and around a part of one.
std::string with_step(std::string_view step)
{
    return R"({"key":"$.id","on":{"E":)" + std::string(step) + "}}";
}

Spec accepted(std::string_view step)
{
    return Spec::parse(with_step(step));
}

} // namespace

#define STEP(step) R"({"key":"$.id","on":{"E":)" step "}}"
#define VALUE(value) STEP(R"({"set":{"a":)" value "}}")
#define WHEN(condition) STEP(R"({"set":{"a":1},"when":)" condition "}")
#define KEY(key) R"({"key":)" key R"(,"on":{"E":{"set":{"a":1}}}})"
#define TARGET(target) STEP(R"({"set":{")" target R"(":1}})")

INSTANTIATE_TEST_SUITE_P(
    Spec, SpecFaults,
    testing::Values(Fault{"", "", "no JSON"}, Fault{"{", "", "no JSON"},
                    Fault{"[]", "", R"(Found an empty array. A spec is an object)"},
                    Fault{"5", "", "Found the number 5."}, Fault{"{}", "", R"(The member "on" is missing.)"},
                    Fault{R"({"on":{"E":"delete"}})", "", R"(The member "key" is missing.)"},
                    Fault{R"({"key":"$.a","onn":{}})", "/onn", R"(A spec has no members but "key" or "on".)",
                          R"(Perhaps you meant "on".)"},
                    Fault{R"({"key":"$.a","on":{}})", "/on", "Found an empty object."},
                    Fault{R"({"key":"$.a","on":[]})", "/on", "Found an empty array."},
                    Fault{R"({"key":"$.a","on":{"E":5}})", "/on/E", "Found the number 5. A step is an object"},
                    Fault{R"({"key":"$.a","on":{"a/b~c":null}})", "/on/a~1b~0c", "Found null."},
                    Fault{STEP("[]"), "/on/E", "A list of steps has at least one."},
                    Fault{STEP(R"("delet")"), "/on/E", R"(Found "delet".)", R"(Perhaps you meant "delete".)"},
                    Fault{STEP("{}"), "/on/E", "at least one operation"},
                    Fault{STEP(R"({"when":{"exists":"$.a"}})"), "/on/E", "at least one operation"},
                    Fault{STEP(R"([{"set":{"a":1}},{"ad":{"a":1}}])"), "/on/E/1/ad", R"(Found the member "ad".)",
                          R"(Perhaps you meant "add".)"},
                    Fault{STEP(R"({"unste":"a"})"), "/on/E/unste", "Found the member", R"(Perhaps you meant "unset".)"},
                    Fault{STEP(R"({"Set":{}})"), "/on/E/Set", "Found the member", R"(Perhaps you meant "set".)"},
                    Fault{STEP(R"({"increment":{"a":1}})"), "/on/E/increment", "\"default\", \"set\", \"unset\"",
                          R"(Perhaps you meant "add".)"},
                    Fault{STEP(R"({"$push":{"a":1}})"), "/on/E/$push", "Found the member",
                          R"(Perhaps you meant "append".)"},
                    Fault{STEP(R"({"inc":{"a":1}})"), "/on/E/inc", "Found the member", R"(Perhaps you meant "add".)"},
                    Fault{STEP(R"({"Subtract":{"a":1}})"), "/on/E/Subtract", "Found the member",
                          R"(There is no subtraction: use "add" with a negative number.)"},
                    Fault{STEP(R"({"gte":{"a":1}})"), "/on/E/gte", "Found the member"},
                    Fault{STEP(R"({"set":5})"), "/on/E/set", "An operation is an object of targets."},
                    Fault{STEP(R"({"set":{"a":"\u0000"}})"), "/on/E/set/a", "\\u0000"},
                    Fault{R"({"key":"$.a","key":"$.b","on":{"E":"delete"}})", "/key", "the member comes twice"}));

INSTANTIATE_TEST_SUITE_P(
    Operations, SpecFaults,
    testing::Values(
        Fault{STEP(R"({"delete":false})"), "/on/E/delete", R"("delete" is true.)"},
        Fault{STEP(R"({"delete":{"a":1}})"), "/on/E/delete", R"("delete" is true.)"},
        Fault{STEP(R"({"unset":5})"), "/on/E/unset", "a target or a list of targets"},
        Fault{STEP(R"({"unset":{"a":1}})"), "/on/E/unset", "a target or a list of targets"},
        Fault{STEP(R"({"unset":["a",5]})"), "/on/E/unset/1", "a target or a list of targets"},
        Fault{STEP(R"({"unset":["a","b."]})"), "/on/E/unset/1", "a name"},
        Fault{STEP(R"({"keep":{"a":-1}})"), "/on/E/keep/a", "Found the number -1. \"keep\" has a whole number"},
        Fault{STEP(R"({"keep":{"a":1.5}})"), "/on/E/keep/a", "whole number"},
        Fault{STEP(R"({"keep":{"a":2147483648}})"), "/on/E/keep/a", "whole number"},
        Fault{STEP(R"({"keep":{"a":"$.n"}})"), "/on/E/keep/a", R"(Found "$.n".)"},
        Fault{STEP(R"({"upsert":{"l":{"set":{"a":1}}}})"), "/on/E/upsert/l", R"(The member "where" is missing.)"},
        Fault{STEP(R"({"upsert":{"l":{"where":{}}}})"), "/on/E/upsert/l/where", "at least one member"},
        Fault{STEP(R"({"upsert":{"l":{"where":{"a":1},"sett":{}}}})"), "/on/E/upsert/l/sett", "Found the member",
              R"(Perhaps you meant "set".)"},
        Fault{STEP(R"({"upsert":{"l":{"where":{"a":1},"set":[]}}})"), "/on/E/upsert/l/set", "an object of names"},
        Fault{STEP(R"({"upsert":{"l":[]}})"), "/on/E/upsert/l", "\"upsert\" has"},
        Fault{STEP(R"({"remove":{"l":{"where":{"a":1},"set":{}}}})"), "/on/E/remove/l/set", "Found the member"},
        Fault{STEP(R"({"remove":{"l":{"where":{"a":"$x"}}}})"), "/on/E/remove/l/where/a", "begins with",
              R"(Perhaps you meant "$.x".)"},
        Fault{STEP(R"({"add":{"a":"amount"}})"), "/on/E/add/a", R"("add" takes a number)",
              R"(A path begins with "$": perhaps you meant "$.amount".)"},
        Fault{STEP(R"({"add":{"a":[1]}})"), "/on/E/add/a", R"("add" takes a number)"},
        Fault{STEP(R"({"max":{"a":true}})"), "/on/E/max/a", R"("max" takes a number, a text)"},
        Fault{STEP(R"({"merge":{"a":["$.b"]}})"), "/on/E/merge/a", R"("merge" takes an object)"}));

INSTANTIATE_TEST_SUITE_P(
    Contradictions, SpecFaults,
    testing::Values(
        Fault{STEP(R"({"add":{"a":"$.x[*].y"}})"), "/on/E/add/a", "finds a list, which \"add\" does not take",
              each_by_each},
        Fault{STEP(R"({"max":{"a":"$.x[*]"}})"), "/on/E/max/a", "finds a list, which \"max\" does not take",
              each_by_each},
        Fault{STEP(R"({"merge":{"a":"$.x[*]"}})"), "/on/E/merge/a", "finds a list, which \"merge\" does not take",
              each_by_each},
        Fault{WHEN(R"({"ge":[5,"$.x[*]"]})"), "/on/E/when/ge/1", "finds a list, and \"ge\" compares", each_by_each},
        Fault{STEP(R"({"set":{"a":1,"a.b":2}})"), "/on/E/set/a.b", "no place for \"a.b\" within the number 1",
              an_object},
        Fault{STEP(R"({"set":{"a":null,"a[$.b].c":2}})"), "/on/E/set/a[$.b].c", "within null", an_object},
        Fault{STEP(R"({"set":{"a":["$.x"],"a.b":2}})"), "/on/E/set/a.b", "within a list", an_object},
        Fault{STEP(R"({"set":{"a":{"b":"x","c":"$.c"},"a.b.c":2}})"), "/on/E/set/a.b.c", "within \"x\"", an_object},
        Fault{STEP(R"({"set":{"a":{"b":{"c":[]}},"a.b.c.d":2}})"), "/on/E/set/a.b.c.d", "an empty array", an_object},
        Fault{STEP(R"({"default":{"a":0,"a.b":2}})"), "/on/E/default/a.b", "within the number 0", an_object},
        Fault{STEP(R"({"merge":{"a":{"b":0},"a.b":{"c":1}}})"), "/on/E/merge/a.b", "within the number 0", an_object},
        Fault{STEP(R"({"add":{"a.b":1,"\"a\"":"$.x"}})"), "/on/E/add/a.b", "cannot be a number", other_name},
        Fault{STEP(R"({"add":{"a[$.k].n":1,"a[$.\"k\"]":1}})"), "/on/E/add/a[$.k].n", "cannot be a number", other_name},
        Fault{STEP(R"({"min":{"a":1,"a[$.k]":1}})"), "/on/E/min/a[$.k]", "a number or text", other_name},
        Fault{STEP(R"({"keep":{"a":1,"a.b.c":1}})"), "/on/E/keep/a.b.c", "cannot be an array", other_name},
        Fault{KEY(R"({"alias":"$.order"})"), "/key/alias", "No step with another key remembers one.",
              R"(Give "alias": "$.order" to a step for an event that carries the key, too.)"},
        Fault{KEY(R"({"each":"$.x","key":{"alias":"$item"}})"), "/key/key/alias", "No step with another key",
              R"(Give "alias": "$item" to a step for an event that carries the key, too.)"},
        Fault{STEP(R"([{"set":{"a":1}},{"key":{"alias":"$.x"},"alias":"$.y"}])"), "/on/E/1/key/alias",
              "No step with another key", R"(Give "alias": "$.x" to a step for an event that carries the key, too.)"}));

INSTANTIATE_TEST_SUITE_P(
    Paths, SpecFaults,
    testing::Values(
        Fault{VALUE(R"("$x.y")"), "/on/E/set/a", "a path begins with", R"(Perhaps you meant "$.x.y".)"},
        Fault{VALUE(R"("$stat.y")"), "/on/E/set/a", "a path begins with", R"(Perhaps you meant "$state".)"},
        Fault{VALUE(R"("$5")"), "/on/E/set/a", "\".\", \"[\" or the end is expected at byte 2.",
              R"(A text that begins with "$" is written with "$$".)"},
        Fault{VALUE(R"("$.")"), "/on/E/set/a", "a name"},
        Fault{VALUE(R"("$.a b")"), "/on/E/set/a", "at byte 4.", QUOTED(R"("$.\"a b\"")")},
        Fault{VALUE(R"("$.user-id.x")"), "/on/E/set/a", "at byte 7.", QUOTED(R"("$.\"user-id\".x")")},
        Fault{VALUE(R"("$.1a")"), "/on/E/set/a", "a name", QUOTED(R"("$.\"1a\"")")},
        Fault{VALUE(R"("$.a.0.b")"), "/on/E/set/a", "a name", "An element of an array is written [0]."},
        Fault{VALUE(R"("$.price * $.qty")"), "/on/E/set/a", "at byte 8.", no_expressions},
        Fault{VALUE(R"("$.a - 1")"), "/on/E/set/a", "at byte 4.", no_expressions},
        Fault{VALUE(R"("$.a-$.b")"), "/on/E/set/a", "at byte 4.", no_expressions},
        Fault{VALUE(R"("$.a[")"), "/on/E/set/a", "an index or \"*\" is expected at its end."},
        Fault{VALUE(R"("$.a[-1]")"), "/on/E/set/a", "an index"},
        Fault{VALUE(R"("$.a[01]")"), "/on/E/set/a", "leading zeros"},
        Fault{VALUE(R"("$.a[99999999999999999999]")"), "/on/E/set/a", "at most 2147483647"},
        Fault{VALUE(R"("$.a[1")"), "/on/E/set/a", "\"]\" is expected"},
        Fault{VALUE(R"("$.a[b]")"), "/on/E/set/a", "an index", R"(Members are written .name or ."any name".)"},
        Fault{VALUE(R"("$.\"a")"), "/on/E/set/a", "a closing double quote"},
        Fault{VALUE(R"("$.\"\\q\"")"), "/on/E/set/a", "JSON's escapes"},
        Fault{VALUE(R"("$.\"\\u00g0\"")"), "/on/E/set/a", "a hexadecimal digit"},
        Fault{VALUE(R"("$.\"\\u0000\"")"), "/on/E/set/a", "\\u0000"},
        Fault{VALUE(R"("$.\"\\ud800\"")"), "/on/E/set/a", "surrogate"},
        Fault{VALUE(R"("$.\"\\udc00\"")"), "/on/E/set/a", "surrogate"},
        Fault{VALUE(R"("$event")"), "/on/E/set/a", "a member of \"$event\""},
        Fault{VALUE(R"("$event.typ")"), "/on/E/set/a", "\"$event\" has the members", R"(Perhaps you meant "type".)"},
        Fault{VALUE(R"("$event.type.x")"), "/on/E/set/a", "nothing within"},
        Fault{VALUE(R"("$event[0]")"), "/on/E/set/a", "a member of \"$event\""},
        Fault{VALUE(R"("$item.x")"), "/on/E/set/a", "\"$item\" is there only where"},
        Fault{VALUE(R"([{"b":"$item"}])"), "/on/E/set/a/0/b", "\"$item\" is there only where"}));

INSTANTIATE_TEST_SUITE_P(
    Targets, SpecFaults,
    testing::Values(Fault{TARGET(""), "/on/E/set/", "a name"}, Fault{TARGET("a..b"), "/on/E/set/a..b", "at byte 3."},
                    Fault{TARGET("a[0]"), "/on/E/set/a[0]", "a path is expected at byte 3."},
                    Fault{TARGET(R"(a[\"b\"])"), R"(/on/E/set/a["b"])", "a path is expected",
                          R"(A member's name is written ."any name".)"},
                    Fault{TARGET("a[$.b"), "/on/E/set/a[$.b", "\"]\" is expected at its end."},
                    Fault{TARGET("a[$.b[*]]"), "/on/E/set/a[$.b[*]]", "a member has one name"},
                    Fault{TARGET("a[$item.b]"), "/on/E/set/a[$item.b]", "\"$item\" is there only where"},
                    Fault{TARGET("$.a"), "/on/E/set/$.a", "a name",
                          R"(A target is a member of the state and has no "$." before it.)"},
                    Fault{TARGET("a b"), "/on/E/set/a b", "at byte 2.", QUOTED(R"("\"a b\"")")},
                    Fault{TARGET("by[$.user-id]"), "/on/E/set/by[$.user-id]", "at byte 10.",
                          QUOTED(R"("by[$.\"user-id\"]")")},
                    Fault{TARGET("a.[$.b]"), "/on/E/set/a.[$.b]", "a name"}));

INSTANTIATE_TEST_SUITE_P(
    Conditions, SpecFaults,
    testing::Values(
        Fault{WHEN("5"), "/on/E/when", "A condition is an object with one member"},
        Fault{WHEN("{}"), "/on/E/when", "A condition is an object with one member"},
        Fault{WHEN(R"({"equals":[1,2]})"), "/on/E/when/equals", "A condition has no members but",
              R"(Perhaps you meant "eq".)"},
        Fault{WHEN(R"({"==":[1,2]})"), "/on/E/when/==", "A condition has no members but", R"(Perhaps you meant "eq".)"},
        Fault{WHEN(R"({"!=":[1,2]})"), "/on/E/when/!=", "A condition has no members but", R"(Perhaps you meant "ne".)"},
        Fault{WHEN(R"({"gte":[1,2]})"), "/on/E/when/gte", "A condition has no members but",
              R"(Perhaps you meant "ge".)"},
        Fault{WHEN(R"({"lte":[1,2]})"), "/on/E/when/lte", "A condition has no members but",
              R"(Perhaps you meant "le".)"},
        Fault{WHEN(R"({"exist":"$.a"})"), "/on/E/when/exist", "A condition has no members but",
              R"(Perhaps you meant "exists".)"},
        Fault{WHEN(R"({"eq":[1,2],"ne":[1,2]})"), "/on/E/when", "Found 2 members.", R"(Use "and" or "or".)"},
        Fault{WHEN(R"({"exists":"a"})"), "/on/E/when/exists", "A path is a text that begins with \"$\".",
              R"(Perhaps you meant "$.a".)"},
        Fault{WHEN(R"({"exists":"$$a"})"), "/on/E/when/exists", "A path is a text that begins with \"$\"."},
        Fault{WHEN(R"({"exists":1})"), "/on/E/when/exists", "A path is a text that begins with \"$\"."},
        Fault{WHEN(R"({"eq":[1]})"), "/on/E/when/eq", "Found a list of 1. A comparison is a list of two values."},
        Fault{WHEN(R"({"lt":"$.a"})"), "/on/E/when/lt", "A comparison is a list of two values."},
        Fault{WHEN(R"({"in":["$.a"]})"), "/on/E/when/in", "Found a list of 1."},
        Fault{WHEN(R"({"in":["$.a",5]})"), "/on/E/when/in/1", "a list of values or a path"},
        Fault{WHEN(R"({"in":["$.a","b"]})"), "/on/E/when/in/1", "a list of values or a path"},
        Fault{WHEN(R"({"and":[]})"), "/on/E/when/and", "at least one condition"},
        Fault{WHEN(R"({"or":{}})"), "/on/E/when/or", "at least one condition"},
        Fault{WHEN(R"({"not":[{"exists":"$.a"}]})"), "/on/E/when/not", "A condition is an object"},
        Fault{WHEN(R"({"or":[{"not":{"eq":["$.a","$b"]}}]})"), "/on/E/when/or/0/not/eq/1", "a path begins with",
              R"(Perhaps you meant "$.b".)"}));

INSTANTIATE_TEST_SUITE_P(
    Keys, SpecFaults,
    testing::Values(
        Fault{KEY("null"), "/key", "Found null. A key is a path"}, Fault{KEY("true"), "/key", "A key is a path"},
        Fault{KEY("[]"), "/key", "A key is a path"}, Fault{KEY("{}"), "/key", "A key is a path"},
        Fault{KEY(R"("$.a[*]")"), "/key", "place for one"},
        Fault{KEY(R"("$state.a")"), "/key", "\"$state\" is not there"},
        Fault{KEY(R"("$item.a")"), "/key", "\"$item\" is there only"},
        Fault{KEY(R"({"alias":"a"})"), "/key/alias", "A path is a text", R"(Perhaps you meant "$.a".)"},
        Fault{KEY(R"({"alias":"$.a[*]"})"), "/key/alias", "place for one"},
        Fault{KEY(R"({"alais":"$.a"})"), "/key/alais", "A key has no members but", R"(Perhaps you meant "alias".)"},
        Fault{KEY(R"({"alias":"$.a","x":1})"), "/key/x", "A key has no members but"},
        Fault{KEY(R"({"each":"$.a[*]"})"), "/key", R"(The member "key" is missing.)"},
        Fault{KEY(R"({"each":"$.a[*]","key":"$item.b","x":1})"), "/key/x", "has no members but"},
        Fault{KEY(R"({"each":"$item.a","key":"$item.b"})"), "/key/each", "\"$item\" is there only"},
        Fault{KEY(R"({"each":"$state.a","key":"$item.b"})"), "/key/each", "\"$state\" is not there"},
        Fault{KEY(R"({"each":"$.a","key":"$state.b"})"), "/key/key", "\"$state\" is not there"},
        Fault{KEY(R"({"each":"$.a","key":"$item.b[*]"})"), "/key/key", "place for one"},
        Fault{KEY(R"({"each":5,"key":"$item.b"})"), "/key/each", "A path is a text"},
        Fault{KEY(R"({"each":"$.a","key":{"each":"$item","key":"$item.b"}})"), "/key/key", "no \"each\" of its own"},
        Fault{STEP(R"({"key":5.5,"alias":"$.a[*]"})"), "/on/E/alias", "place for one"},
        Fault{STEP(R"({"alias":"$state.a"})"), "/on/E/alias", "\"$state\" is not there"},
        Fault{STEP(R"({"alias":5})"), "/on/E/alias", "A path is a text"},
        Fault{STEP(R"({"key":null,"set":{"a":1}})"), "/on/E/key", "A key is a path"}));

TEST(Spec, IsLimitedInItsDepth)
{
    const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
    EXPECT_NO_THROW(accepted(R"({"set":{"a":)" + nested(96) + "}}"));
    EXPECT_THROW(accepted(R"({"set":{"a":)" + nested(97) + "}}"), SpecError);

    const auto names = [](std::size_t count)
    {
        std::string result;
        for (std::size_t i = 0; i < count; ++i)
            result += ".a";
        return result;
    };
    EXPECT_NO_THROW(accepted(R"({"set":{"a":"$)" + names(100) + "\"}}"));
    EXPECT_THROW(accepted(R"({"set":{"a":"$)" + names(101) + "\"}}"), SpecError);
    EXPECT_NO_THROW(accepted(R"({"set":{"a)" + names(99) + "\":1}}"));
    EXPECT_THROW(accepted(R"({"set":{"a)" + names(100) + "\":1}}"), SpecError);
}

TEST(Spec, AcceptsWhatTheLanguageHas)
{
    for (
        const char *step :
        {R"("delete")",
         R"(["delete",{"set":{"a":1}}])",
         R"({"alias":"$.a"})",
         R"({"set":{}})",
         R"({"unset":[]})",
         R"({"set":{"a":"$","b":"$[0][*].x","c":"$.\"a b\".é_1$","d":"$event.metadata.a[0]","e":"$event.\"type\"","f":"$$x"}})",
         R"({"set":{"\"a b\"":1,"a.\"\\u00e9\".b[$.c[0].\"x\"][$event.position].d":2,"[$.x]":3}})",
         R"([{"alias":"$.a"},{"key":{"each":"$.a[*].b[*]","key":{"alias":"$item.x"}},"set":{"a":"$item","b[$item.c]":1},"alias":"$item.d"}])",
         R"({"set":{"a":{},"a.b":1}})",
         R"({"set":{"a":"$.a","a.b":1}})",
         R"({"set":{"a":{"b":"$.b"},"a.b.c":1}})",
         R"({"set":{"a":{"b":1},"a.b":2}})",
         R"({"set":{"a":{"b":1},"a[$.b].c":2}})",
         R"({"set":{"\"\\u0061\"":1,"a.b":2}})",
         R"({"merge":{"a":null,"a.b":{}}})",
         R"({"merge":{"a":{"b":null},"a.b":{}}})",
         R"({"unset":["a","a.b"]})",
         R"({"add":{"a[$.x]":1,"a[$.y].z":1,"a.b.c":1}})",
         R"({"set":{"a":1},"unset":"a.b"})",
         R"({"append":{"a":"$.x[*]"},"set":{"b":"$.x[*]"}})",
         R"({"when":{"eq":["$.x[*]",[1]]},"set":{"b":1}})",
         R"({"key":{"each":"$.a","key":"constant"},"add":{"a":"$item"}})",
         R"({"key":5.50,"delete":true,"alias":"$.a"})",
         R"({"when":{"in":["$.a",[]]},"keep":{"a":0,"b":1e1}})",
         R"({"add":{"a":null},"merge":{"a":{}},"min":{"a":"x"}})"})
        EXPECT_NO_THROW(accepted(step)) << step;
    // Each step has its own key: the spec needs none.
    EXPECT_NO_THROW(Spec::parse(R"({"on":{"E":{"key":"$.a","set":{"a":1}}}})"));
}

TEST(Spec, SaysWhatItReads)
{
    const Spec few = Spec::parse(R"({"key":"$.id","on":{"B":"delete","AA":"delete"}})");
    EXPECT_EQ(few.event_types(), (std::vector<std::string>{"AA", "B"}));
    EXPECT_TRUE(few.reads_data());
    EXPECT_FALSE(few.reads_metadata() || few.reads_occurred_at() || few.reads_stream() || few.uses_aliases());

    const Spec all =
        Spec::parse(R"({"key":"$event.stream","on":{"*":{"set":{"a[$event.metadata.x]":"$event.occurredAt"}}}})");
    EXPECT_EQ(all.event_types(), std::nullopt);
    EXPECT_TRUE(all.reads_metadata() && all.reads_occurred_at() && all.reads_stream());
    EXPECT_FALSE(all.reads_data());

    EXPECT_TRUE(accepted(R"({"alias":"$.a"})").uses_aliases());
    EXPECT_TRUE(accepted(R"([{"alias":"$.a"},{"key":{"alias":"$.a"},"set":{"a":1}}])").uses_aliases());
    EXPECT_TRUE(
        Spec::parse(R"({"key":"x","on":{"E":{"set":{"a":1},"when":{"exists":"$event.metadata"}}}})").reads_metadata());
}

TEST(Words, FindsTheNearestOne)
{
    constexpr std::array<std::string_view, 5> known = {"add", "append", "set", "unset", "upsert"};
    EXPECT_EQ(fold::nearest("ad", known), "add");
    EXPECT_EQ(fold::nearest("dad", known), "add");
    EXPECT_EQ(fold::nearest("apend", known), "append");
    EXPECT_EQ(fold::nearest("unste", known), "unset");
    EXPECT_EQ(fold::nearest("ADD", known), "add");
    EXPECT_EQ(fold::nearest("xyz", known), "");
    EXPECT_EQ(fold::nearest("a", known), "");
    EXPECT_EQ(fold::nearest(std::string(1000, 'a'), known), "");
}
