// A spec in the form in which it is executed: names resolved, operations in their order, nothing left to check but values.
#pragma once

#include "fold/path.hpp"
#include "fold/value.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace fold
{

// A value: a literal, a path, or a template that is filled in.
struct Expression
{
    enum class Sort : std::uint8_t
    {
        literal,
        path,
        object,
        array
    };

    Sort sort = Sort::literal;
    // Where the value is kept that was evaluated before the step, as it reads $state; -1: it is evaluated where it is used.
    int prepared = -1;
    bool reads_state = false;
    Value literal;
    Path path;
    std::vector<std::string> names;   // of an object's members, in jsonb's order
    std::vector<Expression> elements; // of an object or array

    // How an error names it.
    std::string text;
};

struct Condition
{
    enum class Sort : std::uint8_t
    {
        exists,
        eq,
        ne,
        lt,
        le,
        gt,
        ge,
        in,
        all_of,
        any_of,
        none_of // "not", of one
    };

    Sort sort = Sort::exists;
    Path path;                     // exists
    std::vector<Expression> sides; // comparisons: two; in: x and, where it is no list, the path
    std::vector<Expression> list;  // in
    bool in_list = false;
    std::vector<Condition> parts;
};

// One name of a target: written in the spec, or taken from a value.
struct TargetName
{
    std::string name;
    std::optional<Expression> computed;
};

struct Target
{
    std::vector<TargetName> names;
    bool fixed = true; // no name is computed
    std::string text;
};

// In the order in which a step applies them.
enum class Operator : std::uint8_t
{
    set_default,
    set,
    unset,
    merge,
    add,
    min,
    max,
    append,
    upsert,
    remove,
    keep,
    delete_instance
};

inline constexpr std::array<std::string_view, 12> operator_names = {
    "default", "set", "unset", "merge", "add", "min", "max", "append", "upsert", "remove", "keep", "delete"};

struct NamedExpression
{
    std::string name;
    Expression value;
};

struct Operation
{
    Operator what = Operator::set;
    std::string pointer; // its place in the spec, for messages
    Target target;
    Expression value;
    std::vector<NamedExpression> where; // upsert, remove; in jsonb's order
    std::vector<NamedExpression> set;   // upsert
    std::size_t keep = 0;
};

struct Key
{
    enum class Sort : std::uint8_t
    {
        path,
        constant,
        alias
    };

    Sort sort = Sort::path;
    std::string pointer; // of its path or constant, for messages
    Path path;           // also of an alias
    std::string constant;
    std::optional<Path> each;
};

struct Step
{
    const Key *key = nullptr;
    std::string pointer; // for messages
    std::optional<Condition> when;
    std::vector<Operation> operations;
    std::optional<Path> alias;
    int prepared = 0; // how many values are evaluated before the operations
    bool reads_state = false;
};

struct Handler
{
    std::string type;
    std::string pointer; // for messages
    std::vector<Step> steps;
    std::vector<const Key *> keys; // of its steps, each once
};

struct Program
{
    std::vector<std::unique_ptr<Key>> keys;
    std::unordered_map<std::string_view, const Handler *> by_type; // views of the handlers' names
    std::vector<std::unique_ptr<Handler>> handlers;
    const Handler *any = nullptr; // "*"
    std::array<bool, 8> reads{};  // by Root
    bool uses_aliases = false;
};

} // namespace fold
