// Every cell of the table of operations: what each does to a target that is missing, null or of a wrong kind, and with a value
// that is missing or null.
#include "fold_support.hpp"

using fold_test::Applied;
using fold_test::apply_step;

namespace
{

struct Cell
{
    const char *step;
    const char *before; // "": there is no instance
    const char *data;
    const char *after;      // "": there is no instance
    const char *error = ""; // then after is what was before
};

void PrintTo(const Cell &cell, std::ostream *out)
{
    *out << cell.step << " on " << cell.before << " with " << cell.data;
}

class Operations : public testing::TestWithParam<Cell>
{
};

TEST_P(Operations, DoesWhatTheTableSays)
{
    const Cell &cell = GetParam();
    const Applied applied = apply_step(cell.step, cell.before, cell.data);
    EXPECT_EQ(applied.error, cell.error);
    EXPECT_EQ(applied.state, cell.after);
    EXPECT_EQ(applied.changed, std::string_view(cell.before) != cell.after);
}

} // namespace

INSTANTIATE_TEST_SUITE_P(
    Default, Operations,
    testing::Values(Cell{R"({"default":{"a":"$.v"}})", "", R"({"v":1})", R"({"a":1})"},
                    Cell{R"({"default":{"a":"$.v"}})", R"({"b":2})", R"({"v":1})", R"({"a":1,"b":2})"},
                    Cell{R"({"default":{"a":"$.v"}})", R"({"a":null})", R"({"v":1})", R"({"a":null})"},
                    Cell{R"({"default":{"a":"$.v"}})", R"({"a":"text"})", R"({"v":1})", R"({"a":"text"})"},
                    Cell{R"({"default":{"a":"$.v"}})", R"({"b":2})", R"({})", R"({"b":2})"},
                    Cell{R"({"default":{"a":"$.v"}})", "", R"({})", ""},
                    Cell{R"({"default":{"a":"$.v"}})", R"({})", R"({"v":null})", R"({"a":null})"},
                    Cell{R"({"default":{"a":"$.v"}})", R"({"a":1})", R"({"v":null})", R"({"a":1})"},
                    Cell{R"({"default":{"a.b":1}})", R"({"a":5})", R"({})", R"({"a":5})",
                         R"(cannot default "a.b": "a" is a number, not an object)"}));

INSTANTIATE_TEST_SUITE_P(Set, Operations,
                         testing::Values(Cell{R"({"set":{"a":"$.v"}})", "", R"({"v":1})", R"({"a":1})"},
                                         Cell{R"({"set":{"a":"$.v"}})", R"({"a":null})", R"({"v":1})", R"({"a":1})"},
                                         Cell{R"({"set":{"a":"$.v"}})", R"({"a":[1,{}]})", R"({"v":"t"})",
                                              R"({"a":"t"})"},
                                         Cell{R"({"set":{"a":"$.v"}})", R"({"a":1})", R"({})", R"({"a":1})"},
                                         Cell{R"({"set":{"a":"$.v"}})", "", R"({})", ""},
                                         Cell{R"({"set":{"a":"$.v"}})", R"({"a":1})", R"({"v":null})", R"({"a":null})"},
                                         Cell{R"({"set":{"a":"$.v"}})", "", R"({"v":null})", R"({"a":null})"},
                                         Cell{R"({"set":{"a":"$.v"}})", R"({"a":1})", R"({"v":1.0})", R"({"a":1.0})"},
                                         Cell{R"({"set":{"a":"$.v"}})", R"({"a":1.0})", R"({"v":1.0})", R"({"a":1.0})"},
                                         Cell{R"({"set":{"a.b.c":"$.v"}})", "", R"({"v":1})", R"({"a":{"b":{"c":1}}})"},
                                         Cell{R"({"set":{"a.b.c":"$.v"}})", R"({"a":{"x":0}})", R"({"v":1})",
                                              R"({"a":{"b":{"c":1},"x":0}})"},
                                         Cell{R"({"set":{"a.b":"$.v"}})", R"({"a":null})", R"({"v":1})",
                                              R"({"a":null})", R"(cannot set "a.b": "a" is null, not an object)"},
                                         Cell{R"({"set":{"a.b":"$.v"}})", R"({"a":[]})", R"({"v":1})", R"({"a":[]})",
                                              R"(cannot set "a.b": "a" is an array, not an object)"},
                                         Cell{R"({"set":{"a.b":"$.v"}})", R"({"a":5})", R"({})", R"({"a":5})"}));

INSTANTIATE_TEST_SUITE_P(
    Unset, Operations,
    testing::Values(Cell{R"({"unset":"a"})", "", "{}", ""}, Cell{R"({"unset":"a"})", R"({"b":1})", "{}", R"({"b":1})"},
                    Cell{R"({"unset":"a"})", R"({"a":null,"b":1})", "{}", R"({"b":1})"},
                    Cell{R"({"unset":"a"})", R"({"a":[1]})", "{}", "{}"},
                    Cell{R"({"unset":["b","a.c"]})", R"({"a":{"c":1,"d":2},"b":1})", "{}", R"({"a":{"d":2}})"},
                    Cell{R"({"unset":"a.b"})", R"({"c":1})", "{}", R"({"c":1})"},
                    Cell{R"({"unset":"a.b"})", R"({"a":null})", "{}", R"({"a":null})",
                         R"(cannot unset "a.b": "a" is null, not an object)"},
                    Cell{R"({"unset":"a[$.v]"})", R"({"a":{"x":1}})", R"({"v":"x"})", R"({"a":{}})"},
                    Cell{R"({"unset":"a[$.v]"})", R"({"a":{"x":1}})", R"({})", R"({"a":{"x":1}})"}));

INSTANTIATE_TEST_SUITE_P(
    Merge, Operations,
    testing::Values(Cell{R"({"merge":{"a":"$.v"}})", "", R"({"v":{"x":1}})", R"({"a":{"x":1}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":null})", R"({"v":{"x":1}})", R"({"a":{"x":1}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":{"x":{"p":1},"y":2}})", R"({"v":{"x":{"q":1},"z":null}})",
                         R"({"a":{"x":{"q":1},"y":2,"z":null}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":{"x":1}})", R"({"v":{}})", R"({"a":{"x":1}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", "", R"({"v":{}})", R"({"a":{}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":{"x":1}})", R"({"v":{"x":1}})", R"({"a":{"x":1}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":[1]})", R"({"v":{"x":1}})", R"({"a":[1]})",
                         R"(cannot merge into "a": it is an array, not an object)"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":{}})", R"({})", R"({"a":{}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":{}})", R"({"v":null})", R"({"a":{}})"},
                    Cell{R"({"merge":{"a":"$.v"}})", R"({"a":{}})", R"({"v":5})", R"({"a":{}})",
                         R"(cannot merge "$.v" into "a": the value is a number, not an object)"}));

INSTANTIATE_TEST_SUITE_P(
    Add, Operations,
    testing::Values(Cell{R"({"add":{"a":"$.v"}})", "", R"({"v":1.50})", R"({"a":1.50})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":null})", R"({"v":-0.0})", R"({"a":0.0})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":1})", R"({"v":0.25})", R"({"a":1.25})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":5})", R"({"v":0})", R"({"a":5})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":5})", R"({"v":0.00})", R"({"a":5.00})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":0.1})", R"({"v":0.2})", R"({"a":0.3})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":"1"})", R"({"v":1})", R"({"a":"1"})",
                         R"(cannot add to "a": it is text, not a number)"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":1})", R"({})", R"({"a":1})"},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":1})", R"({"v":null})", R"({"a":1})"},
                    Cell{R"({"add":{"a":"$.v"}})", "", R"({"v":null})", ""},
                    Cell{R"({"add":{"a":"$.v"}})", R"({"a":1})", R"({"v":"2"})", R"({"a":1})",
                         R"(cannot add "$.v" to "a": the value is text, not a number)"},
                    Cell{R"({"add":{"a":"$.v"}})", "", R"({"v":true})", "",
                         R"(cannot add "$.v" to "a": the value is a boolean, not a number)"},
                    Cell{R"({"add":{"by[$.k]":1}})", "", R"({"k":"x"})", R"({"by":{"x":1}})"},
                    Cell{R"({"add":{"by[$.k]":1}})", R"({"by":{"1.50":1}})", R"({"k":1.50})", R"({"by":{"1.50":2}})"},
                    Cell{R"({"add":{"by[$.k]":1}})", "", R"({"k":null})", ""},
                    Cell{R"({"add":{"by[$.k]":1}})", "", R"({})", ""},
                    Cell{R"({"add":{"by[$.k]":1}})", "", R"({"k":[]})", "",
                         R"(cannot name a member of "by[$.k]" by "$.k": it is an array, not text or a number)"}));

INSTANTIATE_TEST_SUITE_P(
    MinMax, Operations,
    testing::Values(Cell{R"({"min":{"a":"$.v"}})", "", R"({"v":3})", R"({"a":3})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":null})", R"({"v":"t"})", R"({"a":"t"})"},
                    Cell{R"({"min":{"a":"$.v"}})", R"({"a":3})", R"({"v":2.5})", R"({"a":2.5})"},
                    Cell{R"({"min":{"a":"$.v"}})", R"({"a":3})", R"({"v":3.0})", R"({"a":3})"},
                    Cell{R"({"min":{"a":"$.v"}})", R"({"a":3})", R"({"v":4})", R"({"a":3})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":3})", R"({"v":10})", R"({"a":10})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":10})", R"({"v":9})", R"({"a":10})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":"10"})", R"({"v":"9"})", R"({"a":"9"})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":"z"})", R"({"v":"é"})", R"({"a":"é"})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":""})", R"({"v":"😀"})", R"({"a":"😀"})"},
                    Cell{R"({"min":{"a":"$.v"}})", R"({"a":3})", R"({"v":"1"})", R"({"a":3})",
                         R"(cannot apply min to "a": it is a number, not text as the value is)"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":[]})", R"({"v":1})", R"({"a":[]})",
                         R"(cannot apply max to "a": it is an array, not a number as the value is)"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":3})", R"({})", R"({"a":3})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":3})", R"({"v":null})", R"({"a":3})"},
                    Cell{R"({"max":{"a":"$.v"}})", R"({"a":3})", R"({"v":true})", R"({"a":3})",
                         R"(cannot apply max "$.v" to "a": the value is a boolean, not a number or text)"}));

INSTANTIATE_TEST_SUITE_P(
    Append, Operations,
    testing::Values(Cell{R"({"append":{"a":"$.v"}})", "", R"({"v":1})", R"({"a":[1]})"},
                    Cell{R"({"append":{"a":"$.v"}})", R"({"a":null})", R"({"v":[1]})", R"({"a":[[1]]})"},
                    Cell{R"({"append":{"a":"$.v"}})", R"({"a":[1]})", R"({"v":"x"})", R"({"a":[1,"x"]})"},
                    Cell{R"({"append":{"a":"$.v"}})", R"({"a":{}})", R"({"v":1})", R"({"a":{}})",
                         R"(cannot append to "a": it is an object, not an array)"},
                    Cell{R"({"append":{"a":"$.v"}})", R"({"a":[1]})", R"({})", R"({"a":[1]})"},
                    Cell{R"({"append":{"a":"$.v"}})", R"({"a":[1]})", R"({"v":null})", R"({"a":[1,null]})"},
                    Cell{R"({"append":{"a":"$.v"}})", "", R"({"v":null})", R"({"a":[null]})"},
                    Cell{R"({"append":{"a":{"x":"$.v","y":"$.w","z":[1,"$.w","$.v"]}}})", "", R"({"v":1})",
                         R"({"a":[{"x":1,"z":[1,1]}]})"}));

INSTANTIATE_TEST_SUITE_P(
    Upsert, Operations,
    testing::Values(Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", "", R"({"id":1,"n":2})",
                         R"({"l":[{"n":2,"id":1}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", R"({"l":null})",
                         R"({"id":1,"n":2})", R"({"l":[{"n":2,"id":1}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})",
                         R"({"l":[7,{"x":1},{"id":1,"m":5},{"id":1.0}]})", R"({"id":1.00,"n":2})",
                         R"({"l":[7,{"x":1},{"m":5,"n":2,"id":1},{"id":1.0}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", R"({"l":[{"n":2,"id":1}]})",
                         R"({"id":1,"n":2})", R"({"l":[{"n":2,"id":1}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", R"({"l":5})",
                         R"({"id":1,"n":2})", R"({"l":5})", R"(cannot upsert into "l": it is a number, not an array)"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", R"({"l":[]})", R"({"n":2})",
                         R"({"l":[]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", R"({"l":[{"n":1,"id":1}]})",
                         R"({"id":1})", R"({"l":[{"n":1,"id":1}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})", R"({"l":[]})", R"({"id":1})",
                         R"({"l":[{"id":1}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"},"set":{"n":"$.n"}}}})",
                         R"({"l":[{"n":1,"id":null}]})", R"({"id":null,"n":null})", R"({"l":[{"n":null,"id":null}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"}}}})", R"({"l":[]})", R"({"id":{"p":[1]}})",
                         R"({"l":[{"id":{"p":[1]}}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":"$.id"}}}})", R"({"l":[{"id":{"p":[1]}}]})",
                         R"({"id":{"p":[1.0]}})", R"({"l":[{"id":{"p":[1]}}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":1},"set":{"id":"$.n"}}}})", "", R"({"n":2})",
                         R"({"l":[{"id":2}]})"},
                    Cell{R"({"upsert":{"l":{"where":{"a.b":1}}}})", "", "{}", R"({"l":[{"a.b":1}]})"}));

INSTANTIATE_TEST_SUITE_P(
    Remove, Operations,
    testing::Values(
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", "", R"({"id":1})", ""},
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", R"({"l":null})", R"({"id":1})", R"({"l":null})"},
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", R"({"l":[{"id":1},1,{"id":2},{"n":3,"id":1.0},{"n":1}]})",
             R"({"id":1})", R"({"l":[1,{"id":2},{"n":1}]})"},
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", R"({"l":[{"id":2}]})", R"({"id":1})",
             R"({"l":[{"id":2}]})"},
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", R"({"l":"t"})", R"({"id":1})", R"({"l":"t"})",
             R"(cannot remove from "l": it is text, not an array)"},
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", R"({"l":[{"id":1}]})", R"({})", R"({"l":[{"id":1}]})"},
        Cell{R"({"remove":{"l":{"where":{"id":"$.id"}}}})", R"({"l":[{"id":null},{}]})", R"({"id":null})",
             R"({"l":[{}]})"},
        Cell{R"({"remove":{"a.l":{"where":{"id":1}}}})", R"({"b":1})", R"({})", R"({"b":1})"},
        Cell{R"({"remove":{"a.l":{"where":{"id":1}}}})", R"({"a":null})", R"({})", R"({"a":null})",
             R"(cannot remove from "a.l": "a" is null, not an object)"}));

INSTANTIATE_TEST_SUITE_P(Keep, Operations,
                         testing::Values(Cell{R"({"keep":{"l":2}})", "", "{}", ""},
                                         Cell{R"({"keep":{"l":2}})", R"({"b":1})", "{}", R"({"b":1})"},
                                         Cell{R"({"keep":{"l":2}})", R"({"l":null})", "{}", R"({"l":null})"},
                                         Cell{R"({"keep":{"l":2}})", R"({"l":[1,2,3]})", "{}", R"({"l":[2,3]})"},
                                         Cell{R"({"keep":{"l":2}})", R"({"l":[1,2,3,{},5]})", "{}", R"({"l":[{},5]})"},
                                         Cell{R"({"keep":{"l":2}})", R"({"l":[1,2]})", "{}", R"({"l":[1,2]})"},
                                         Cell{R"({"keep":{"l":0}})", R"({"l":[1,2]})", "{}", R"({"l":[]})"},
                                         Cell{R"({"keep":{"l":2}})", R"({"l":{}})", "{}", R"({"l":{}})",
                                              R"(cannot keep the last of "l": it is an object, not an array)"}));

INSTANTIATE_TEST_SUITE_P(Delete, Operations,
                         testing::Values(Cell{R"("delete")", R"({"a":1})", "{}", ""}, Cell{R"("delete")", "", "{}", ""},
                                         Cell{R"({"delete":true})", R"({"a":1})", "{}", ""},
                                         Cell{R"([{"delete":true},{"add":{"n":1}}])", R"({"a":1,"n":5})", "{}",
                                              R"({"n":1})"},
                                         Cell{R"({"delete":true,"add":{"n":1}})", R"({"a":1})", "{}", ""}));

INSTANTIATE_TEST_SUITE_P(Order, Operations,
                         testing::Values(
                             // The table's order, whatever the order of the members.
                             Cell{R"({"keep":{"l":2},"append":{"l":3},"add":{"n":1},"set":{"n":5},"default":{"n":9}})",
                                  R"({"l":[1,2]})", "{}", R"({"l":[2,3],"n":6})"},
                             Cell{R"({"set":{"a":1},"unset":"a"})", "", "{}", "{}"},
                             Cell{R"({"min":{"a":3},"max":{"a":5}})", R"({"a":4})", "{}", R"({"a":5})"},
                             // Two targets: the shorter one first.
                             Cell{R"({"set":{"aa.b":1,"aa":{"c":2}}})", "", "{}", R"({"aa":{"b":1,"c":2}})"},
                             // A list of steps: its own order.
                             Cell{R"([{"append":{"l":3}},{"set":{"l":[]}}])", "", "{}", R"({"l":[]})"}));

INSTANTIATE_TEST_SUITE_P(
    StateBeforeTheStep, Operations,
    testing::Values(Cell{R"({"set":{"a":"$state.b","b":"$state.a"}})", R"({"a":1,"b":2})", "{}", R"({"a":2,"b":1})"},
                    Cell{R"({"set":{"a":5},"add":{"n":"$state.a"}})", R"({"a":1})", "{}", R"({"a":5,"n":1})"},
                    Cell{R"([{"set":{"a":5}},{"add":{"n":"$state.a"}}])", R"({"a":1})", "{}", R"({"a":5,"n":5})"},
                    Cell{R"({"set":{"a":1,"b":"$state.a"}})", "", "{}", R"({"a":1})"},
                    Cell{R"({"append":{"l":"$state"}})", R"({"l":[1]})", "{}", R"({"l":[1,{"l":[1]}]})"},
                    Cell{R"({"set":{"s":"y"},"add":{"by[$state.s]":1}})", R"({"s":"x"})", "{}",
                         R"({"s":"y","by":{"x":1}})"},
                    Cell{R"({"upsert":{"l":{"where":{"id":1},"set":{"p":"$state.l[0].q","q":"$state.l[0].p"}}}})",
                         R"({"l":[{"p":"P","q":"Q","id":1}]})", "{}", R"({"l":[{"p":"Q","q":"P","id":1}]})"},
                    Cell{R"({"when":{"eq":["$state.n",1]},"set":{"n":2}})", R"({"n":1})", "{}", R"({"n":2})"},
                    Cell{R"({"when":{"exists":"$state"},"set":{"n":2}})", "", "{}", ""},
                    Cell{R"({"when":{"not":{"exists":"$state"}},"set":{"n":2}})", "", "{}", R"({"n":2})"},
                    Cell{R"({"merge":{"m":{"x":"$state.m.y","y":"$state.m.x"}}})", R"({"m":{"x":1,"y":2}})", "{}",
                         R"({"m":{"x":2,"y":1}})"}));

// Its position moves, although the state is what it was.
TEST(Operations, WhatIsChangedAndChangedBackWasChanged)
{
    const Applied applied = apply_step(R"({"remove":{"l":{"where":{"id":1}}},"upsert":{"l":{"where":{"id":1}}}})",
                                       R"({"l":[{"id":2}]})", "{}");
    EXPECT_EQ(applied.state, R"({"l":[{"id":2}]})");
    EXPECT_TRUE(applied.changed);
}
