#include "fold/expression_compiler.hpp"

#include "fold/contradictions.hpp"
#include "fold/json.hpp"
#include "fold/syntax.hpp"
#include "fold/words.hpp"

namespace fold
{

namespace
{

constexpr std::array<std::string_view, 11> condition_names = {"exists", "eq", "ne",  "lt", "le", "gt",
                                                              "ge",     "in", "and", "or", "not"};

constexpr std::string_view a_condition =
    R"(A condition is an object with one member: "exists", "eq", "ne", "lt", "le", "gt", "ge", "in", "and", "or" or "not".)";

} // namespace

std::string shown(const Value &value)
{
    constexpr std::size_t longest = 40;
    std::string json = to_json(value);
    switch (value.kind())
    {
    case Kind::null:
        return "null";
    case Kind::boolean:
        return json;
    case Kind::number:
        return "the number " + (json.size() <= longest ? json : json.substr(0, longest) + "..");
    case Kind::text:
        return json.size() <= longest ? json : "a long text";
    case Kind::array:
        return value.empty() ? "an empty array" : "an array";
    case Kind::object:
        return value.empty() ? "an empty object" : "an object";
    case Kind::missing:
        break;
    }
    return "nothing";
}

bool is_path(const Value &value)
{
    return value.is(Kind::text) && value.text().starts_with('$') && !value.text().starts_with("$$");
}

Part Part::member(const Value::Member &member) const
{
    std::string place = pointer;
    append_pointer(place, member.name());
    return {member.value, std::move(place)};
}

Part Part::element(std::size_t index) const
{
    return {value.elements()[index], pointer + "/" + std::to_string(index)};
}

void Part::refuse(std::string_view allowed, std::string hint) const
{
    throw SpecError(pointer, "Found " + shown(value) + ". " + std::string(allowed), std::move(hint));
}

void Part::require(Kind kind, std::string_view allowed) const
{
    if (!value.is(kind))
        refuse(allowed);
}

void Part::require_filled(Kind kind, std::string_view allowed) const
{
    require(kind, allowed);
    if (value.empty())
        refuse(allowed);
}

void Part::require_known(std::string_view what, std::span<const std::string_view> known) const
{
    for (const Value::Member &each : value.members())
    {
        bool found = false;
        for (const std::string_view name : known)
            found = found || name == each.name();
        if (!found)
            throw SpecError(member(each).pointer,
                            "Found the member " + quoted(each.name()) + ". " + std::string(what) +
                                " has no members but " + listed(known) + ".",
                            suggestion(each.name(), known));
    }
}

const Value &Part::require_member(std::string_view name, std::string_view what) const
{
    const Value *found = value.find(name);
    if (!found)
        throw SpecError(pointer, "The member " + quoted(name) + " is missing. " + std::string(what), "");
    return *found;
}

void ExpressionCompiler::check_roots(const Path &path, const Part &part)
{
    if (path.root == Root::item && !item_allowed)
        throw SpecError(part.pointer,
                        "Found " + quoted(path.text) + ". \"$item\" is there only where the step's key has \"each\".",
                        "");
    if (path.root == Root::state && !state_allowed)
        throw SpecError(
            part.pointer,
            "Found " + quoted(path.text) +
                ". \"$state\" is not there in a key, an alias or an \"each\", which decide whose state it is.",
            "");
    program.reads[static_cast<std::size_t>(path.root)] = true;
}

Path ExpressionCompiler::path(const Part &part)
{
    if (!part.value.is(Kind::text))
        part.refuse("A path is a text that begins with \"$\".");
    if (!is_path(part.value))
    {
        // The commonest slip: the name alone.
        std::string hint;
        try
        {
            parse_path("$." + std::string(part.text()));
            hint = "Perhaps you meant " + quoted("$." + std::string(part.text())) + ".";
        }
        catch (const SyntaxFault &)
        {
        }
        part.refuse("A path is a text that begins with \"$\".", std::move(hint));
    }
    try
    {
        Path path = parse_path(part.text());
        check_roots(path, part);
        return path;
    }
    catch (const SyntaxFault &fault)
    {
        throw SpecError(part.pointer, fault.detail, fault.hint);
    }
}

Path ExpressionCompiler::single_path(const Part &part)
{
    Path result = path(part);
    if (result.many)
        part.refuse("A path with \"[*]\" can find many values, and here is place for one.");
    return result;
}

Expression ExpressionCompiler::expression(const Part &part)
{
    Expression result;
    if (is_path(part.value))
    {
        result.sort = Expression::Sort::path;
        result.path = path(part);
        result.reads_state = result.path.root == Root::state;
        result.text = quoted(result.path.text);
        return result;
    }
    if (part.value.is(Kind::text))
    {
        const std::string_view text = part.text();
        result.literal = Value::text(text.starts_with("$$") ? text.substr(1) : text);
    }
    else if (part.value.is_container())
    {
        const bool object = part.value.is(Kind::object);
        bool all_literal = true;
        const auto add = [&](const Part &element)
        {
            result.elements.push_back(expression(element));
            all_literal = all_literal && result.elements.back().sort == Expression::Sort::literal;
            result.reads_state = result.reads_state || result.elements.back().reads_state;
        };
        if (object)
        {
            for (const Value::Member &member : part.value.members())
            {
                result.names.emplace_back(member.name());
                add(part.member(member));
            }
        }
        else
        {
            for (std::size_t i = 0; i < part.value.size(); ++i)
                add(part.element(i));
        }
        result.sort = object ? Expression::Sort::object : Expression::Sort::array;
        result.text = object ? "an object" : "a list";
        if (!all_literal)
            return result;

        Value literal = object ? Value::object(result.elements.size()) : Value::array(result.elements.size());
        for (std::size_t i = 0; i < result.elements.size(); ++i)
        {
            if (object)
                literal.append_member(result.names[i], std::move(result.elements[i].literal));
            else
                literal.push_back(std::move(result.elements[i].literal));
        }
        result = Expression();
        result.literal = std::move(literal);
    }
    else
        result.literal = part.value.copy();
    result.text = shown(result.literal);
    return result;
}

Condition ExpressionCompiler::comparison(Condition::Sort sort, const Part &part)
{
    constexpr std::string_view allowed = "A comparison is a list of two values.";
    part.require(Kind::array, allowed);
    if (part.value.size() != 2)
        throw SpecError(part.pointer,
                        "Found a list of " + std::to_string(part.value.size()) + ". " + std::string(allowed));
    Condition result;
    result.sort = sort;
    const bool ordered = sort != Condition::Sort::eq && sort != Condition::Sort::ne;
    for (std::size_t i = 0; i < 2; ++i)
    {
        result.sides.push_back(expression(part.element(i)));
        if (ordered)
            check_ordered(condition_names[static_cast<std::size_t>(sort)], part.element(i), result.sides.back());
    }
    return result;
}

Condition ExpressionCompiler::membership(const Part &part)
{
    constexpr std::string_view allowed =
        "\"in\" is a list of two: a value, and a list of values or a path to an array.";
    part.require(Kind::array, allowed);
    if (part.value.size() != 2)
        throw SpecError(part.pointer,
                        "Found a list of " + std::to_string(part.value.size()) + ". " + std::string(allowed));
    Condition result;
    result.sort = Condition::Sort::in;
    result.sides.push_back(expression(part.element(0)));
    const Part list = part.element(1);
    if (list.value.is(Kind::array))
    {
        result.in_list = true;
        for (std::size_t i = 0; i < list.value.size(); ++i)
            result.list.push_back(expression(list.element(i)));
    }
    else if (is_path(list.value))
        result.sides.push_back(expression(list));
    else
        list.refuse("The second of \"in\" is a list of values or a path to an array.");
    return result;
}

Condition ExpressionCompiler::combination(Condition::Sort sort, const Part &part)
{
    Condition result;
    result.sort = sort;
    if (sort == Condition::Sort::none_of)
    {
        result.parts.push_back(condition(part));
        return result;
    }
    part.require_filled(Kind::array, "\"and\" and \"or\" are lists of at least one condition.");
    for (std::size_t i = 0; i < part.value.size(); ++i)
        result.parts.push_back(condition(part.element(i)));
    return result;
}

Condition ExpressionCompiler::condition(const Part &part)
{
    part.require_filled(Kind::object, a_condition);
    part.require_known("A condition", condition_names);
    if (part.value.size() > 1)
        throw SpecError(part.pointer,
                        "Found " + std::to_string(part.value.size()) + " members. " + std::string(a_condition),
                        "Use \"and\" or \"or\".");
    const Value::Member &member = part.value.members()[0];
    const Part operand = part.member(member);
    std::size_t index = 0;
    while (condition_names[index] != member.name())
        ++index;
    const auto sort = static_cast<Condition::Sort>(index);
    switch (sort)
    {
    case Condition::Sort::exists:
    {
        Condition result;
        result.path = path(operand);
        return result;
    }
    case Condition::Sort::in:
        return membership(operand);
    case Condition::Sort::all_of:
    case Condition::Sort::any_of:
    case Condition::Sort::none_of:
        return combination(sort, operand);
    default:
        return comparison(sort, operand);
    }
}

} // namespace fold
