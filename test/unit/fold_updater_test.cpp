// Which instances an event concerns, what they see of it, aliases, and that an event is applied as a whole or not at all.
#include "fold_support.hpp"

#include <random>

using fold::Changes;
using fold::Spec;
using fold::Updater;
using fold::UpdaterError;
using fold_test::apply_step;
using fold_test::MemoryHost;
using fold_test::TestEvent;

namespace
{

// Applies events one after the other: states and aliases at the end, or the first error.
std::string fold_all(std::string_view spec_json, const std::vector<TestEvent> &events)
{
    const Spec spec = Spec::parse(spec_json);
    Updater updater(spec);
    MemoryHost host;
    host.strict = true;
    fold_test::WantedByHost wanted(host);
    Changes changes;
    try
    {
        for (const TestEvent &event : events)
        {
            host.wanted.clear();
            updater.collect(event, wanted);
            updater.apply(event, host, changes);
        }
    }
    catch (const UpdaterError &error)
    {
        return error.what();
    }
    return host.text();
}

std::string fold_one(std::string_view spec, std::string_view data)
{
    std::vector<TestEvent> events;
    events.emplace_back("E", data);
    return fold_all(spec, events);
}

std::string with_key(std::string_view key)
{
    return R"({"key":)" + std::string(key) + R"(,"on":{"E":{"add":{"n":1}}}})";
}

bool holds(std::string_view condition, std::string_view data)
{
    return apply_step(R"({"when":)" + std::string(condition) + R"(,"set":{"a":1}})", "", data).state == R"({"a":1})";
}

} // namespace

TEST(Key, IsTextANumberOrNothing)
{
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":"a b"})"), "a b {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":""})"), " {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":1.50})"), "1.50 {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":null})"), "");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({})"), "");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":true})"),
              R"(the key "$.id" is a boolean, not text or a number)");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":[]})"), R"(the key "$.id" is an array, not text or a number)");
    EXPECT_EQ(fold_one(with_key(R"("$.id")"), R"({"id":{}})"), R"(the key "$.id" is an object, not text or a number)");
    EXPECT_EQ(fold_one(with_key(R"("all")"), "{}"), "all {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key(R"("$$all")"), "{}"), "$all {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key("1.0"), "{}"), "1.0 {\"n\":1}\n");
}

TEST(Key, FansOutOverItems)
{
    const std::string each = with_key(R"({"each":"$.l[*]","key":"$item.id"})");
    EXPECT_EQ(fold_one(each, R"({"l":[{"id":"a"},{"id":2},{"id":null},{},7,{"id":"a"}]})"),
              "2 {\"n\":1}\na {\"n\":2}\n");
    EXPECT_EQ(fold_one(each, R"({"l":{"id":"a"}})"), "");
    EXPECT_EQ(fold_one(each, R"({})"), "");
    EXPECT_EQ(fold_one(each, R"({"l":[{"id":"a"},{"id":[]}]})"),
              R"(the key "$item.id" is an array, not text or a number)");
    EXPECT_EQ(fold_one(with_key(R"({"each":"$.l","key":"$item"})"), R"({"l":["a","b"]})"),
              "a {\"n\":1}\nb {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key(R"({"each":"$.l","key":"$item"})"), R"({"l":"a"})"), "");
    EXPECT_EQ(fold_one(with_key(R"({"each":"$.l[*][*]","key":"$item"})"), R"({"l":[["a","b"],[],["a"],"c"]})"),
              "a {\"n\":2}\nb {\"n\":1}\n");
    EXPECT_EQ(fold_one(with_key(R"({"each":"$.l","key":"x"})"), R"({"l":[1,2,3]})"), "x {\"n\":3}\n");
    EXPECT_EQ(fold_one(with_key(R"({"each":"$.l","key":"$.id"})"), R"({"l":[1,2,3],"id":5})"), "5 {\"n\":3}\n");
}

TEST(Key, OfAStepReplacesThatOfTheSpec)
{
    EXPECT_EQ(fold_one(R"({"key":{"each":"$.l","key":"$item"},"on":{"E":[{"add":{"n":"$item"}},
                           {"key":"$.id","append":{"l":"$.l"}},{"key":"all","when":{"eq":["$.id","x"]},"add":{"n":1}}]}})",
                       R"({"id":"x","l":[1,2]})"),
              "1 {\"n\":1}\n2 {\"n\":2}\nall {\"n\":1}\nx {\"l\":[[1,2]]}\n");
}

TEST(Steps, AreAppliedStepByStepAndItemByItem)
{
    // Each item sees what the one before it did; the second step comes after all items of the first.
    EXPECT_EQ(
        fold_one(R"({"key":{"each":"$.l","key":"all"},"on":{"E":[{"append":{"l":["$item","$state.n"]},"add":{"n":1}},
                           {"append":{"l":"$item"}}]}})",
                 R"({"l":["a","b"]})"),
        "all {\"l\":[[\"a\"],[\"b\",1],\"a\",\"b\"],\"n\":2}\n");
}

TEST(Event, IsReachedByItsRoots)
{
    const char *spec = R"({"key":"x","on":{"*":{"set":{"a":"$event.type","b":"$event.position","c":"$event.stream",
                           "d":"$event.occurredAt","e":"$event.metadata.user.id","f":"$","g":"$event.metadata"}}}})";
    std::vector<TestEvent> events;
    events.emplace_back(
        R"({"type":"E","position":9007199254740993,"stream":"s","occurredAt":"2020-01-01T00:00:00.000000Z",
                            "metadata":{"user":{"id":7}},"data":[1.0]})");
    EXPECT_EQ(fold_all(spec, events),
              R"(x {"a":"E","b":9007199254740993,"c":"s","d":"2020-01-01T00:00:00.000000Z","e":7,)"
              "\"f\":[1.0],\"g\":{\"user\":{\"id\":7}}}\n");
    events.clear();
    events.emplace_back(R"({"position":5})");
    EXPECT_EQ(fold_all(spec, events), "x {\"b\":5}\n");
    events.clear();
    events.emplace_back(R"({"position":5,"data":null,"metadata":null})");
    EXPECT_EQ(fold_all(spec, events), "x {\"b\":5,\"f\":null,\"g\":null}\n");
}

TEST(Event, IsHandledByItsTypeOrByTheStar)
{
    const char *spec = R"({"key":"x","on":{"A":{"add":{"a":1}},"*":{"add":{"other":1}}}})";
    std::vector<TestEvent> events;
    for (const char *type : {"A", "B", "A", "", "*"})
        events.emplace_back(type, "");
    events.emplace_back(R"({"position":1})");
    EXPECT_EQ(fold_all(spec, events), "x {\"a\":2,\"other\":4}\n");

    const Spec only = Spec::parse(R"({"key":"x","on":{"A":"delete"}})");
    Updater updater(only);
    const fold::Value a = fold::Value::text("A");
    const fold::Value b = fold::Value::text("B");
    EXPECT_TRUE(updater.concerns(fold::TreeReader::view(a)));
    EXPECT_FALSE(updater.concerns(fold::TreeReader::view(b)));
    EXPECT_FALSE(updater.concerns({}));
    MemoryHost host;
    Changes changes;
    updater.apply(TestEvent("B", "{}"), host, changes);
    EXPECT_TRUE(host.instances.empty() && changes.instances.empty());
}

TEST(Paths, NavigateStrictly)
{
    const auto found = [](std::string_view path, std::string_view data)
    { return apply_step(R"({"set":{"a":")" + std::string(path) + R"("}})", "", data).state; };
    EXPECT_EQ(found("$.a.b[1].c", R"({"a":{"b":[0,{"c":5}]}})"), R"({"a":5})");
    EXPECT_EQ(found("$.b", R"([{"b":1}])"), "");
    EXPECT_EQ(found("$[0]", R"({"b":1})"), "");
    EXPECT_EQ(found("$[2]", "[1,2]"), "");
    EXPECT_EQ(found("$.a.b", R"({"a":null})"), "");
    EXPECT_EQ(found("$.a[*]", R"({"a":5})"), "");
    EXPECT_EQ(found("$.a[*]", R"({"a":[]})"), "");
    EXPECT_EQ(found("$.a[*].b", R"({"a":[{"b":1},{},{"b":null},5,{"b":[2]}]})"), R"({"a":[1,null,[2]]})");
    EXPECT_EQ(found("$[*][1]", "[[1,2],[3],[4,5]]"), R"({"a":[2,5]})");
    EXPECT_EQ(found(R"($.\"a \\\"b\\\" \\u00e9\")", R"({"a \"b\" é":1})"), R"({"a":1})");
    EXPECT_EQ(found("$.é_1$", R"({"é_1$":1})"), R"({"a":1})");
    EXPECT_EQ(found("$$.a", "{}"), R"({"a":"$.a"})");
}

TEST(Conditions, CompareByKindAndValue)
{
    EXPECT_TRUE(holds(R"({"exists":"$.a"})", R"({"a":null})"));
    EXPECT_FALSE(holds(R"({"exists":"$.a"})", R"({})"));
    EXPECT_TRUE(holds(R"({"exists":"$.a[*].b"})", R"({"a":[1,{"b":null}]})"));
    EXPECT_FALSE(holds(R"({"exists":"$.a[*].b"})", R"({"a":[1,{}]})"));

    EXPECT_TRUE(holds(R"({"eq":["$.a",1.0]})", R"({"a":1})"));
    EXPECT_TRUE(holds(R"({"eq":["$.a",{"x":["$.b",null]}]})", R"({"a":{"x":[2.0,null]},"b":2})"));
    EXPECT_FALSE(holds(R"({"eq":["$.a","1"]})", R"({"a":1})"));
    EXPECT_TRUE(holds(R"({"ne":["$.a","1"]})", R"({"a":1})"));
    EXPECT_FALSE(holds(R"({"ne":["$.a",1]})", R"({"a":1.00})"));
    EXPECT_TRUE(holds(R"({"eq":["$.a",null]})", R"({"a":null})"));
    EXPECT_FALSE(holds(R"({"eq":["$.a",null]})", R"({})"));
    EXPECT_FALSE(holds(R"({"ne":["$.a",1]})", R"({})"));
    EXPECT_FALSE(holds(R"({"eq":["$.a","$.b"]})", R"({})"));
    EXPECT_TRUE(holds(R"({"eq":["$.a[*]",[1,2]]})", R"({"a":[1,2]})"));

    EXPECT_TRUE(holds(R"({"lt":["$.a",10]})", R"({"a":9})"));
    EXPECT_FALSE(holds(R"({"lt":["$.a",9]})", R"({"a":9.0})"));
    EXPECT_TRUE(holds(R"({"le":["$.a",9]})", R"({"a":9.0})"));
    EXPECT_FALSE(holds(R"({"le":["$.a",9]})", R"({"a":9.01})"));
    EXPECT_TRUE(holds(R"({"gt":["$.a","9"]})", R"({"a":"é"})"));
    EXPECT_FALSE(holds(R"({"gt":["$.a","9"]})", R"({"a":"10"})"));
    EXPECT_TRUE(holds(R"({"ge":["$.a",-1e30]})", R"({"a":-1000000000000000000000000000000})"));
    EXPECT_FALSE(holds(R"({"ge":["$.a",1]})", R"({"a":"2"})"));
    for (const char *other : {"null", "true", "[]", "{}", "\"x\""})
        for (const char *sort : {"lt", "le", "gt", "ge"})
            EXPECT_FALSE(holds(std::string("{\"") + sort + R"(":["$.a",1]})", std::string("{\"a\":") + other + "}"));
    EXPECT_FALSE(holds(R"({"le":["$.a",null]})", R"({"a":null})"));
    EXPECT_FALSE(holds(R"({"ge":["$.a","$.a"]})", R"({"a":true})"));

    EXPECT_TRUE(holds(R"({"in":["$.a",[5,"$.b",{"c":"$.c"}]]})", R"({"a":{"c":1},"c":1.0})"));
    EXPECT_FALSE(holds(R"({"in":["$.a",[5,"$.b"]]})", R"({"a":7})"));
    EXPECT_FALSE(holds(R"({"in":["$.a",["$.b"]]})", R"({})"));
    EXPECT_TRUE(holds(R"({"in":["$.a",[null]]})", R"({"a":null})"));
    EXPECT_TRUE(holds(R"({"in":["$.a","$.l"]})", R"({"a":2,"l":[1,2.0]})"));
    EXPECT_TRUE(holds(R"({"in":["$.a","$.l[*].x"]})", R"({"a":2,"l":[{"x":1},{"x":2}]})"));
    EXPECT_FALSE(holds(R"({"in":["$.a","$.l"]})", R"({"a":2,"l":2})"));
    EXPECT_FALSE(holds(R"({"in":["$.a","$.l"]})", R"({"a":2})"));
    EXPECT_FALSE(holds(R"({"in":["$.a",[]]})", R"({"a":2})"));

    EXPECT_TRUE(holds(R"({"and":[{"exists":"$.a"},{"not":{"exists":"$.b"}}]})", R"({"a":1})"));
    EXPECT_FALSE(holds(R"({"and":[{"exists":"$.a"},{"exists":"$.b"}]})", R"({"a":1})"));
    EXPECT_TRUE(holds(R"({"or":[{"exists":"$.a"},{"exists":"$.b"}]})", R"({"b":1})"));
    EXPECT_FALSE(holds(R"({"or":[{"exists":"$.a"},{"exists":"$.b"}]})", R"({})"));
    EXPECT_TRUE(holds(R"({"not":{"eq":["$.a",1]}})", R"({})"));
}

TEST(Aliases, LeadToTheirInstance)
{
    const char *spec = R"({"key":"$.user","on":{
        "Placed":{"alias":"$.order","add":{"placed":1}},
        "Only":{"alias":"$.order"},
        "Shipped":{"key":{"alias":"$.order"},"add":{"shipped":1}},
        "Lines":{"key":{"each":"$.orders","key":{"alias":"$item"}},"append":{"seen":"$item"}},
        "Both":[{"alias":"$.order"},{"key":{"alias":"$.order"},"add":{"both":1}}],
        "Gone":"delete",
        "Again":{"delete":true,"alias":"$.order"},
        "Unless":{"when":{"exists":"$.yes"},"alias":"$.order"}}})";
    const auto folded = [&](std::initializer_list<std::pair<const char *, const char *>> events)
    {
        std::vector<TestEvent> list;
        list.reserve(events.size());
        for (const auto &[type, data] : events)
            list.emplace_back(type, data);
        return fold_all(spec, list);
    };
    EXPECT_EQ(folded({{"Shipped", R"({"order":1})"}}), "");
    EXPECT_EQ(folded({{"Placed", R"({"user":"u","order":1.0})"},
                      {"Shipped", R"({"order":"1.0"})"},
                      {"Shipped", R"({"order":1})"}}),
              "u {\"placed\":1,\"shipped\":1}\n1.0 -> u\n");
    // The later one wins.
    EXPECT_EQ(folded({{"Placed", R"({"user":"u","order":1})"},
                      {"Only", R"({"user":"v","order":1})"},
                      {"Shipped", R"({"order":1})"}}),
              "u {\"placed\":1}\nv {\"shipped\":1}\n1 -> v\n");
    EXPECT_EQ(folded({{"Placed", R"({"user":"u","order":null})"}, {"Placed", R"({"user":"u"})"}}),
              "u {\"placed\":2}\n");
    EXPECT_EQ(folded({{"Placed", R"({"user":"u","order":[]})"}}),
              R"(the alias "$.order" is an array, not text or a number)");
    EXPECT_EQ(folded({{"Shipped", R"({"order":true})"}}), R"(the key "$.order" is a boolean, not text or a number)");
    EXPECT_EQ(folded({{"Only", R"({"user":"u","order":1})"},
                      {"Only", R"({"user":"v","order":2})"},
                      {"Lines", R"({"orders":[1,2,3,1]})"}}),
              "u {\"seen\":[1,1]}\nv {\"seen\":[2]}\n1 -> u\n2 -> v\n");
    // Within one event.
    EXPECT_EQ(folded({{"Both", R"({"user":"u","order":1})"}}), "u {\"both\":1}\n1 -> u\n");
    EXPECT_EQ(folded({{"Placed", R"({"user":"u","order":1})"},
                      {"Only", R"({"user":"v","order":2})"},
                      {"Gone", R"({"user":"u"})"},
                      {"Shipped", R"({"order":1})"}}),
              "2 -> v\n");
    EXPECT_EQ(folded({{"Only", R"({"user":"u","order":1})"}, {"Gone", R"({"user":"u"})"}}), "");
    EXPECT_EQ(folded({{"Placed", R"({"user":"u","order":1})"}, {"Again", R"({"user":"u","order":2})"}}), "2 -> u\n");
    EXPECT_EQ(folded({{"Unless", R"({"user":"u","order":1})"}, {"Unless", R"({"user":"u","order":2,"yes":1})"}}),
              "2 -> u\n");
}

TEST(Aliases, ForgottenWithinAnEventAreNotFollowed)
{
    const char *spec = R"({"key":"$.user","on":{"Known":{"alias":"$.order"},
        "E":[{"alias":"$.order"},{"delete":true},{"key":{"alias":"$.order"},"add":{"n":1}},
             {"key":{"alias":"$.known"},"add":{"n":1}}],
        "F":[{"key":"$.a","alias":"$.order"},{"key":"$.b","alias":"$.order"},{"key":"$.b","delete":true},
             {"key":{"alias":"$.order"},"add":{"n":1}}]}})";
    std::vector<TestEvent> events;
    events.emplace_back("Known", R"({"user":"u","order":5})");
    events.emplace_back("E", R"({"user":"u","order":1,"known":5})");
    events.emplace_back("F", R"({"a":"a","b":"b","order":1})");
    EXPECT_EQ(fold_all(spec, events), "");
}

TEST(Limits, AreErrorsOfTheEvent)
{
    const auto nested = [](int levels)
    { return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']'); };
    const auto step = [&](std::string_view step, int levels)
    { return apply_step(step, "", R"({"v":)" + nested(levels) + "}"); };
    EXPECT_EQ(step(R"({"set":{"a":"$.v"}})", 999).error, "");
    const fold_test::Applied deep = fold_test::apply_spec(R"({"key":"x","on":{"E":{"set":{"a.b":"$.v"}}}})", "",
                                                          TestEvent("E", R"({"v":)" + nested(999) + "}"));
    EXPECT_EQ(deep.error, R"(cannot set "a.b": the state would be nested in more than 1000 levels)");
    EXPECT_TRUE(deep.limit);
    EXPECT_EQ(deep.state, "");
    EXPECT_EQ(step(R"({"append":{"a":"$.v"}})", 998).error, "");
    EXPECT_TRUE(step(R"({"append":{"a":"$.v"}})", 999).limit);
    EXPECT_TRUE(step(R"([{"append":{"a":1}},{"append":{"a":"$.v"}}])", 999).limit);
    EXPECT_EQ(step(R"([{"append":{"a":1}},{"append":{"a":"$.v"}}])", 998).error, "");
    EXPECT_TRUE(step(R"([{"merge":{"a":{"x":1}}},{"merge":{"a":{"y":"$.v"}}}])", 999).limit);
    EXPECT_EQ(step(R"([{"merge":{"a":{"x":1}}},{"merge":{"a":{"y":"$.v"}}}])", 998).error, "");
    const char *upsert = R"([{"upsert":{"a":{"where":{"x":1}}}},{"upsert":{"a":{"where":{"x":1},"set":{"y":"$.v"}}}}])";
    EXPECT_EQ(step(upsert, 997).error, "");
    EXPECT_TRUE(step(upsert, 998).limit);
}

TEST(Limits, SumsBeyondNumericAreErrorsOfTheEvent)
{
    const Spec spec = Spec::parse(R"({"key":"x","on":{"E":{"add":{"a":"$.v"}}}})");
    Updater updater(spec);
    MemoryHost host;
    const std::string largest(131072, '9');
    host.set_state("x", "{}");
    fold::Instance &instance = *host.instance("x");
    instance.state.put("a", fold::Value::number(*fold::Decimal::parse(largest)));
    instance.bytes = instance.state.bytes();
    Changes changes;
    try
    {
        updater.apply(TestEvent("E", R"({"v":1})"), host, changes);
        FAIL() << "no error";
    }
    catch (const UpdaterError &error)
    {
        EXPECT_TRUE(error.limit);
        EXPECT_EQ(std::string(error.what()).substr(0, 44), R"(cannot add to "a": a number is beyond the ra)");
    }
    EXPECT_EQ(fold::to_json(instance.state), "{\"a\":" + largest + "}");
}

// The pointer of what failed in the spec, and the instance; "nothing" where there is none.
std::string place_of_error(std::string_view spec_json, std::string_view data, const char *state = "{}")
{
    const Spec spec = Spec::parse(spec_json);
    Updater updater(spec);
    MemoryHost host;
    host.set_state("x", state);
    host.aliases["a1"] = "x";
    fold_test::WantedByHost wanted(host);
    Changes changes;
    const TestEvent event("E", data);
    try
    {
        updater.collect(event, wanted);
        updater.apply(event, host, changes);
    }
    catch (const UpdaterError &error)
    {
        return error.pointer + " " + error.instance.value_or("nothing");
    }
    return "no error";
}

TEST(Errors, NameTheStepAndTheInstance)
{
    const auto of_steps = [](std::string_view steps, std::string_view data, const char *state = "{}")
    { return place_of_error(R"({"key":"$.id","on":{"A":"delete","E":)" + std::string(steps) + "}}", data, state); };
    EXPECT_EQ(of_steps(R"({"set":{"b":1},"add":{"a":"$.v","b":1}})", R"({"id":"x","v":"1"})"), "/on/E/add/a x");
    EXPECT_EQ(of_steps(R"([{"set":{"b":1}},{"add":{"c":1},"append":{"b":1}}])", R"({"id":"x"})"), "/on/E/1/append/b x");
    EXPECT_EQ(of_steps(R"({"add":{"by[$.v]":1}})", R"({"id":7.0,"v":[]})"), "/on/E/add/by[$.v] 7.0");
    EXPECT_EQ(of_steps(R"({"unset":["b","a.b"]})", R"({"id":"x"})", R"({"a":1})"), "/on/E/unset/1 x");
    EXPECT_EQ(of_steps(R"({"set":{"b":1},"alias":"$.v"})", R"({"id":"x","v":true})"), "/on/E/alias x");
    EXPECT_EQ(of_steps(R"({"set":{"b":1}})", R"({"id":true})"), "/key nothing");
    EXPECT_EQ(of_steps(R"([{"set":{"b":1}},{"key":"$.v","set":{"b":1}}])", R"({"id":"x","v":{}})"),
              "/on/E/1/key nothing");
    EXPECT_EQ(
        of_steps(R"([{"alias":"$.w"},{"key":{"alias":"$.v"},"add":{"a":"$.x"}}])", R"({"id":"y","v":"a1","x":[]})"),
        "/on/E/1/add/a x");
    EXPECT_EQ(of_steps(R"([{"alias":"$.w"},{"key":{"alias":"$.v"},"set":{"a":1}}])", R"({"id":"y","v":[]})"),
              "/on/E/1/key/alias nothing");
    EXPECT_EQ(of_steps(R"({"key":{"each":"$.l","key":"$item.id"},"add":{"n":"$item.n"}})",
                       R"({"id":"x","l":[{"id":"p","n":1},{"id":"q","n":"1"}]})"),
              "/on/E/add/n q");
    EXPECT_EQ(of_steps(R"({"key":{"each":"$.l","key":"$item"},"set":{"n":1}})", R"({"id":"x","l":["p",{}]})"),
              "/on/E/key/key nothing");
    const std::string deep = std::string(999, '[') + std::string(999, ']');
    EXPECT_EQ(of_steps(R"({"set":{"a.b":"$.v"}})", R"({"id":"x","v":)" + deep + "}"), "/on/E/set/a.b x");
}

TEST(Limits, StatesBeyondJsonbAreErrorsOfTheEvent)
{
    const std::string half = "{\"v\":\"" + std::string(0x08000000, 'x') + "\"}"; // NOLINT(bugprone-string-constructor)
    const Spec spec = Spec::parse(R"({"key":"x","on":{"E":{"append":{"l":"$.v"}}}})");
    Updater updater(spec);
    MemoryHost host;
    Changes changes;
    const TestEvent event("E", half);
    updater.apply(event, host, changes);
    const std::size_t bytes = host.instance("x")->bytes; // NOLINT(clang-analyzer-deadcode.DeadStores): used at the end
    try
    {
        updater.apply(event, host, changes);
        FAIL() << "no error";
    }
    catch (const UpdaterError &error)
    {
        EXPECT_TRUE(error.limit);
        EXPECT_NE(std::string_view(error.what()).find("jsonb"), std::string_view::npos);
        EXPECT_EQ(error.pointer, "/on/E");
        EXPECT_EQ(error.instance, "x");
    }
    EXPECT_EQ(host.instance("x")->state.find("l")->size(), 1u);
    EXPECT_NEAR(static_cast<double>(host.instance("x")->bytes), static_cast<double>(bytes), 1000);
}

// Every operation, on instances that exist and one that does not, through keys of all kinds; then the same steps with one that
// fails after each of them.
TEST(Undo, AnEventThatFailsLeavesEverythingAsItWas)
{
    const std::vector<std::string> steps = {
        R"({"default":{"d":1,"deep.er.still":1}})",
        R"({"set":{"a":[1,2],"new.parent":1,"text":"a text that is longer than sixteen bytes"}})",
        R"({"unset":["u","deep.gone"]})",
        R"({"merge":{"m":{"x":9,"y":{"z":1},"a rather long name of a member":1},"m2":{"q":1}}})",
        R"({"add":{"n":0.01,"big":1,"by[$.k]":1,"by[$state.text]":1}})",
        R"({"min":{"n":-5},"max":{"text":"zzz"}})",
        R"({"append":{"l":{"id":7},"l2":1}})",
        R"({"upsert":{"l":{"where":{"id":2},"set":{"v":5,"w":6,"a rather long name of a member":7}}}})",
        R"({"upsert":{"l":{"where":{"id":99},"set":{"v":5}},"l3":{"where":{"id":1}}}})",
        R"({"remove":{"l":{"where":{"id":1}}}})",
        R"({"keep":{"l":1}})",
        R"({"keep":{"l":0}})",
        R"({"delete":true})",
        R"({"set":{"after":"the deletion"}})",
        R"({"key":{"each":"$.items","key":"$item"},"append":{"l":"$item"},"keep":{"l":2},"alias":"$item"})",
        R"({"key":{"alias":"known"},"key":{"alias":"$.known"},"set":{"by":"alias"}})",
        R"({"key":"new one","add":{"n":1},"alias":"$.k"})",
        R"({"key":"y","delete":true})",
    };
    const char *state =
        R"({"a":{"x":1},"u":[1,2,{"z":1}],"m":{"x":1,"w":2},"n":5,"big":170141183460469231731687303715884105727,
        "text":"some text of more than sixteen bytes","l":[{"id":1},{"id":2,"v":1},{"id":3},{"id":1,"q":[1]}],
        "deep":{"gone":{"a":1}},"by":{"k":1}})";
    const char *data = R"({"k":"k","items":["x","y","z"],"known":"K","bad":{}})";
    const char *failure = R"({"key":"z","add":{"n":"$.bad"}})";

    std::set<std::string> without_failure;
    for (std::size_t end = 0; end <= steps.size(); ++end)
    {
        for (const bool fails : {false, true})
        {
            std::string list;
            for (std::size_t i = 0; i < end; ++i)
                if (steps[i].find("known\"},\"key\"") == std::string::npos)
                    list += steps[i] + ",";
                else
                    list += R"({"key":{"alias":"$.known"},"set":{"by":"alias"}},)";
            list += fails ? failure : R"({"set":{"end":1}})";
            const Spec spec = Spec::parse(R"({"key":"x","on":{"E":[)" + list + "]}}");
            Updater updater(spec);
            MemoryHost host;
            host.set_state("x", state);
            host.set_state("y", R"({"l":[1,2]})");
            host.remember("K", "y");
            host.remember("old", "x");
            const std::string before = host.text();
            const auto bytes = static_cast<std::ptrdiff_t>(host.bytes());
            Changes changes;
            const TestEvent event("E", data);
            if (!fails)
            {
                updater.apply(event, host, changes);
                EXPECT_TRUE(without_failure.insert(host.text()).second) << "step " << end << " does nothing";
            }
            else
            {
                EXPECT_THROW(updater.apply(event, host, changes), UpdaterError);
                EXPECT_EQ(host.text(), before) << "after " << end << " steps";
                EXPECT_TRUE(changes.instances.empty());
            }
            EXPECT_EQ(static_cast<std::ptrdiff_t>(host.bytes()) - bytes, changes.bytes);
            for (const auto &[id, instance] : host.instances)
                EXPECT_EQ(instance->bytes, instance->state.bytes()) << id;
            if (fails)
            {
                // And it goes on as if the event had never been.
                const TestEvent good("E", R"({"k":"k","items":["x"],"known":"K","bad":1})");
                updater.apply(good, host, changes);
                EXPECT_FALSE(changes.instances.empty());
                for (const auto &[id, instance] : host.instances)
                    EXPECT_EQ(instance->bytes, instance->state.bytes()) << id;
            }
        }
    }
}

TEST(Changes, NameEachInstanceOnce)
{
    const Spec spec =
        Spec::parse(R"({"key":{"each":"$.l","key":"$item"},"on":{"E":[{"set":{"a":"$.v"}},{"set":{"b":"$.v"}}]}})");
    Updater updater(spec);
    MemoryHost host;
    Changes changes;
    updater.apply(TestEvent("E", R"({"l":["a","b","a"],"v":1})"), host, changes);
    EXPECT_EQ(changes.instances, (std::vector<fold::Instance *>{host.instance("a"), host.instance("b")}));
    updater.apply(TestEvent("E", R"({"l":["b","a"],"v":1})"), host, changes);
    EXPECT_TRUE(changes.instances.empty());
    EXPECT_EQ(changes.bytes, 0);
    updater.apply(TestEvent("E", R"({"l":["b","b"],"v":1.0})"), host, changes);
    EXPECT_EQ(changes.instances, (std::vector<fold::Instance *>{host.instance("b")}));
}
