// Random specs and events out of a fuzzer's bytes.
#pragma once

#include "fold/json.hpp"
#include "fold/view.hpp"

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace fold_fuzz
{

class Choices
{
public:
    Choices(const std::uint8_t *bytes, std::size_t size) : at(bytes), end(bytes + size) {}

    // From 0 to most; 0 when the bytes are used up, so that everything ends.
    int up_to(int most) { return at == end ? 0 : *at++ % (most + 1); }
    bool maybe() { return up_to(1) == 1; }
    bool done() const { return at == end; }

    template <std::size_t size>
    std::string_view of(const std::array<std::string_view, size> &list)
    {
        return list[static_cast<std::size_t>(up_to(size - 1))];
    }

private:
    const std::uint8_t *at;
    const std::uint8_t *end;
};

struct Event
{
    fold::Value type;
    fold::Value data;
    fold::Value metadata;
    std::int64_t position = 0;

    fold::Event view() const
    {
        fold::Event event;
        event.reader = &fold::TreeReader::get();
        event.type = fold::TreeReader::view(type);
        event.data = fold::TreeReader::view(data);
        event.metadata = fold::TreeReader::view(metadata);
        event.position = position;
        return event;
    }
};

// Few names and values, so that they meet.
class Generator
{
public:
    explicit Generator(Choices &c) : choices(c) {}

    std::string spec()
    {
        std::string result = R"({"key":)" + key() + R"(,"on":{"A":)" + steps();
        if (choices.maybe())
            result += R"(,"B":)" + steps();
        if (choices.maybe())
            result += R"(,"*":)" + steps();
        if (result.find(R"({"alias":)") != std::string::npos) // who follows aliases needs one who remembers them
            result += R"(,"C":{"key":"$.id","alias":"$.a"})";
        return result + "}}";
    }

    Event event(std::int64_t position)
    {
        Event result;
        constexpr std::array<std::string_view, 6> types = {"A", "A", "A", "A", "B", "C"};
        result.type = choices.up_to(9) == 9 ? fold::Value() : fold::Value::text(choices.of(types));
        if (choices.up_to(9) != 9)
            result.data = fold::parse_json(choices.up_to(9) == 9 ? document(3) : object(3));
        if (choices.maybe())
            result.metadata = fold::parse_json(document(1));
        result.position = position;
        return result;
    }

private:
    static constexpr std::array<std::string_view, 6> names = {"a", "b", "c", "id", "list", "a name that is longer"};

    std::string_view name() { return choices.of(names); }

    std::string scalar()
    {
        constexpr std::array<std::string_view, 14> scalars = {"1",
                                                              "0",
                                                              "null",
                                                              "\"x\"",
                                                              "\"y\"",
                                                              "2.50",
                                                              "-1",
                                                              "0.00",
                                                              "true",
                                                              "false",
                                                              "1e25",
                                                              "\"a\"",
                                                              "\"a text of more than sixteen bytes\"",
                                                              "170141183460469231731687303715884105727"};
        return std::string(choices.of(scalars));
    }

    std::string document(int levels)
    {
        switch (levels > 0 ? choices.up_to(3) : 3)
        {
        case 0:
        case 1:
            return object(levels);
        case 2:
        {
            std::string result = "[";
            for (int i = choices.up_to(4); i > 0; --i)
                result += document(levels - 1) + (i > 1 ? "," : "");
            return result + "]";
        }
        default:
            return scalar();
        }
    }

    std::string object(int levels)
    {
        std::string result;
        for (const std::string_view each : names)
        {
            const int choice = choices.up_to(4);
            if (choice == 4)
                continue;
            std::string member;
            if (choice == 3)
                member = document(levels - 1);
            else if (each == "a" || each == "id")
                member = std::to_string(choices.up_to(3));
            else if (each == "c")
                member = R"({"x":)" + scalar() + "}";
            else if (each == "list")
                member = "[" + scalar() + ",{\"id\":" + scalar() + "}]";
            else
                member = scalar();
            result.append(result.empty() ? "{\"" : ",\"").append(each).append("\":").append(member);
        }
        return result.empty() ? "{}" : result + "}";
    }

    std::string path(bool many = true)
    {
        constexpr std::array<std::string_view, 4> others = {"$state", "$event.metadata", "$event.position", "$item"};
        std::string result(choices.up_to(3) == 3 ? choices.of(others) : "$");
        if (result == "$event.position")
            return result;
        for (int i = choices.up_to(2); i > 0; --i)
        {
            switch (choices.up_to(5))
            {
            case 4:
                result += "[" + std::to_string(choices.up_to(2)) + "]";
                break;
            case 5:
                result += many ? "[*]" : "[0]";
                break;
            default:
                result.append(".\\\"").append(name()).append("\\\"");
            }
        }
        return result;
    }

    std::string value(int levels = 2)
    {
        switch (choices.up_to(levels > 0 ? 5 : 3))
        {
        case 0:
            return scalar();
        case 4:
            return R"({")" + std::string(name()) + "\":" + value(levels - 1) + "}";
        case 5:
            return "[" + value(levels - 1) + "," + value(levels - 1) + "]";
        default:
            return "\"" + path() + "\"";
        }
    }

    // Mostly the one place where all operations of its kind meet, so that there is something to change.
    std::string target(std::string_view home)
    {
        if (choices.up_to(3) != 3)
            return std::string(home);
        std::string result = "\\\"" + std::string(name()) + "\\\"";
        for (int i = choices.up_to(2); i > 0; --i)
            result += choices.maybe() ? "[" + path(false) + "]" : ".\\\"" + std::string(name()) + "\\\"";
        return result;
    }

    std::string condition(int levels = 2)
    {
        constexpr std::array<std::string_view, 6> comparisons = {"eq", "ne", "lt", "le", "gt", "ge"};
        switch (choices.up_to(levels > 0 ? 5 : 2))
        {
        case 0:
            return R"({"exists":")" + path() + "\"}";
        case 1:
            return R"({")" + std::string(choices.of(comparisons)) + "\":[" + value() + "," + value() + "]}";
        case 2:
            return R"({"in":[)" + value() + ",[" + value() + "," + scalar() + "]]}";
        case 3:
            return R"({"and":[)" + condition(levels - 1) + "," + condition(levels - 1) + "]}";
        case 4:
            return R"({"or":[)" + condition(levels - 1) + "," + condition(levels - 1) + "]}";
        default:
            return R"({"not":)" + condition(levels - 1) + "}";
        }
    }

    // Mostly a key that every event has: an event that concerns nothing tests nothing.
    std::string key()
    {
        switch (choices.up_to(9))
        {
        case 4:
            return "\"$.id\"";
        case 5:
            return R"({"each":"$.list[*]","key":"$item.id"})";
        case 6:
            return R"({"alias":"$.a"})";
        case 7:
            return R"({"each":"$.list","key":"$.a"})";
        case 8:
            return R"({"each":"$.list","key":{"alias":"$item.id"}})";
        case 9:
            return "\"" + path(false) + "\"";
        default:
            return "\"constant\"";
        }
    }

    std::string operation()
    {
        constexpr std::array<std::string_view, 7> plain = {"append", "add", "set", "merge", "min", "max", "default"};
        constexpr std::array<std::string_view, 7> homes = {"list", "a", "b", "c", "a", "a", "id"};
        constexpr std::array<std::string_view, 7> usual = {"$", "$.a", "$.b", "$.c", "$.a", "$.a", "$.id"};
        const int which = choices.up_to(11);
        if (which < 7)
        {
            const auto index = static_cast<std::size_t>(which);
            const std::string what(plain[index]);
            // Literals of a wrong kind are refused when the spec is defined: paths, where not every value will do.
            std::string operand = "\"" + std::string(usual[index]) + "\"";
            if (choices.up_to(2) == 2)
                operand = what == "append" || what == "set" || what == "default" ? value() : "\"" + path() + "\"";
            return "\"" + what + R"(":{")" + target(homes[index]) + "\":" + operand + "}";
        }
        if (which == 7)
            return R"("unset":[")" + target("b") + "\"]";
        if (which <= 9)
            return R"("keep":{")" + target("list") + "\":" + std::to_string(choices.up_to(3)) + "}";
        const std::string where = R"("where":{")" + std::string(name()) + "\":" + value(1) + "}";
        if (which == 10)
            return R"("remove":{")" + target("list") + "\":{" + where + "}}";
        return R"("upsert":{")" + target("list") + "\":{" + where + R"(,"set":{")" + std::string(name()) +
               "\":" + value(1) + "}}}";
    }

    std::string step()
    {
        std::set<std::string> members; // an operation comes once
        std::string result = "{";
        for (int i = 1 + choices.up_to(3); i > 0; --i)
        {
            const std::string member = operation();
            if (members.insert(member.substr(0, member.find(':'))).second)
                result += (result.size() > 1 ? "," : "") + member;
        }
        if (choices.up_to(3) == 3)
            result += R"(,"when":)" + condition();
        if (choices.up_to(4) == 4)
            result += R"(,"key":)" + key();
        if (choices.up_to(4) == 4)
            result += R"(,"alias":"$.a")";
        if (choices.up_to(9) == 9)
            result += R"(,"delete":true)";
        return result + "}";
    }

    std::string steps()
    {
        std::string result = "[" + step();
        for (int i = choices.up_to(3); i > 0; --i)
            result += "," + step();
        return result + "]";
    }

    Choices &choices;
};

} // namespace fold_fuzz
