#include "fold/contradictions.hpp"

#include "fold/syntax.hpp"
#include "fold/words.hpp"

#include <algorithm>

namespace fold
{

namespace
{

bool is_null_literal(const Expression &value)
{
    return value.sort == Expression::Sort::literal && value.literal.is(Kind::null);
}

// For a text where only a path will do, if it could be one.
std::string hint_at_path(std::string_view text)
{
    if (Decimal::parse(text))
        return "A number is written without quotes.";
    try
    {
        const std::string path = "$." + std::string(text);
        parse_path(path);
        return "A path begins with \"$\": perhaps you meant " + quoted(path) + ".";
    }
    catch (const SyntaxFault &)
    {
        return {};
    }
}

std::string_view taken_by(Operator what)
{
    switch (what)
    {
    case Operator::add:
        return "a number";
    case Operator::min:
    case Operator::max:
        return "a number, a text";
    case Operator::merge:
        return "an object";
    default:
        return {};
    }
}

bool same_name(const TargetName &a, const TargetName &b)
{
    if (!a.computed || !b.computed)
        return !a.computed && !b.computed && a.name == b.name;
    const Path &x = a.computed->path;
    const Path &y = b.computed->path;
    return x.root == y.root && std::ranges::equal(x.segments, y.segments,
                                                  [](const PathSegment &s, const PathSegment &t) {
                                                      return s.sort == t.sort && s.name == t.name && s.index == t.index;
                                                  });
}

bool is_below(const Target &target, const Target &other)
{
    return other.names.size() < target.names.size() &&
           std::ranges::equal(other.names, std::span(target.names).first(other.names.size()), same_name);
}

// Why the rest of a target cannot be written where `value` was written before; nothing: perhaps it can.
std::optional<std::string> obstacle(const Expression &value, std::span<const TargetName> rest, bool merges)
{
    const Expression *at = &value;
    const Value *literal = nullptr;
    if (merges && is_null_literal(value))
        return std::nullopt; // is skipped
    for (std::size_t i = 0;; ++i)
    {
        if (at && at->sort == Expression::Sort::literal)
            literal = &std::exchange(at, nullptr)->literal;
        if (at && at->sort == Expression::Sort::path)
            return std::nullopt;
        if (i == rest.size() && (!merges || (literal && literal->is(Kind::null))))
            return std::nullopt;
        if (at ? at->sort != Expression::Sort::object : !literal->is(Kind::object))
            return literal ? shown(*literal) : at->text;
        if (i == rest.size() || rest[i].computed)
            return std::nullopt;
        if (literal)
        {
            literal = literal->find(rest[i].name);
            if (!literal)
                return std::nullopt;
            continue;
        }
        const auto name = std::ranges::find(at->names, rest[i].name);
        if (name == at->names.end())
            return std::nullopt;
        at = &at->elements[static_cast<std::size_t>(name - at->names.begin())];
    }
}

[[noreturn]] void refuse_overlap(const Operation &lower, const Operation &upper, const std::string &why,
                                 std::string hint)
{
    throw SpecError(lower.pointer,
                    "Found the targets " + quoted(upper.target.text) + " and " + quoted(lower.target.text) + ". " + why,
                    std::move(hint));
}

} // namespace

void check_value(Operator what, const Expression &value, const Part &part)
{
    const std::string_view taken = taken_by(what);
    if (taken.empty() || is_null_literal(value))
        return;
    const std::string name = quoted(operator_names[static_cast<std::size_t>(what)]);
    if (value.sort == Expression::Sort::path)
    {
        if (value.path.many)
            part.refuse("A path with \"[*]\" finds a list, which " + name + " does not take.",
                        "To take the members of a list one by one, use a key with \"each\".");
        return;
    }
    const Kind kind = part.value.kind();
    const bool fits = what == Operator::add     ? kind == Kind::number
                      : what == Operator::merge ? kind == Kind::object
                                                : kind == Kind::number || kind == Kind::text;
    if (!fits)
        part.refuse(name + " takes " + std::string(taken) + " or a path to one.",
                    kind == Kind::text ? hint_at_path(part.text()) : std::string());
}

void check_ordered(std::string_view comparison, const Part &part, const Expression &side)
{
    if (side.sort == Expression::Sort::path && side.path.many)
        part.refuse("A path with \"[*]\" finds a list, and " + quoted(comparison) + " compares numbers or texts.",
                    "To take the members of a list one by one, use a key with \"each\".");
}

void check_overlaps(std::span<const Operation> operations)
{
    for (std::size_t i = 0; i < operations.size(); ++i)
    {
        const Operation &lower = operations[i];
        for (std::size_t j = 0; j < operations.size(); ++j)
        {
            const Operation &upper = operations[j];
            if (!is_below(lower.target, upper.target))
                continue;
            switch (lower.what)
            {
            case Operator::set_default:
            case Operator::set:
            case Operator::merge:
                // What is written above afterwards replaces the target, or has it already.
                if (j > i)
                    break;
                if (const auto found =
                        obstacle(upper.value, std::span(lower.target.names).subspan(upper.target.names.size()),
                                 lower.what == Operator::merge))
                    refuse_overlap(lower, upper,
                                   quoted(upper.target.text) + " is written first, and there is no place for " +
                                       quoted(lower.target.text) + " within " + *found + ".",
                                   "Give " + quoted(upper.target.text) + " an object, or leave one of them out.");
                break;
            case Operator::add:
            case Operator::min:
            case Operator::max:
            case Operator::append:
            case Operator::upsert:
            case Operator::remove:
            case Operator::keep:
                refuse_overlap(lower, upper,
                               quoted(upper.target.text) + " cannot be " +
                                   (lower.what == Operator::add                                  ? "a number"
                                    : lower.what == Operator::min || lower.what == Operator::max ? "a number or text"
                                                                                                 : "an array") +
                                   " and an object with members.",
                               "Give one of them another name.");
            case Operator::unset:
            case Operator::delete_instance:
                break;
            }
        }
    }
}

void check_aliases(const Program &program)
{
    const auto follows = [](const Key &key) { return key.sort == Key::Sort::alias; };
    for (const auto &handler : program.handlers)
        for (const Step &step : handler->steps)
            if (step.alias && !follows(*step.key))
                return;
    for (const auto &key : program.keys)
        if (follows(*key))
            throw SpecError(
                key->pointer,
                "Found " + quoted(key->path.text) + " as an alias to follow. No step with another key remembers one.",
                "Give \"alias\": " + quoted(key->path.text) + " to a step for an event that carries the key, too.");
}

} // namespace fold
