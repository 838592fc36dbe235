// The parts of a spec that yield something when an event is folded: paths, values, conditions.
#pragma once

#include "fold/program.hpp"
#include "fold/spec.hpp"
#include "fold/value.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace fold
{

// A part of the spec together with its place.
struct Part
{
    const Value &value;
    std::string pointer;

    Part member(const Value::Member &member) const;
    Part element(std::size_t index) const;
    std::string_view text() const { return value.text(); }

    // Found a number; a condition is .. is allowed.
    [[noreturn]] void refuse(std::string_view allowed, std::string hint = {}) const;
    void require(Kind kind, std::string_view allowed) const;
    void require_filled(Kind kind, std::string_view allowed) const;
    // Each member is one of these.
    void require_known(std::string_view what, std::span<const std::string_view> known) const;
    const Value &require_member(std::string_view name, std::string_view what) const;
};

// As a message shows what was found: its kind, and small ones themselves.
std::string shown(const Value &value);

class ExpressionCompiler
{
public:
    explicit ExpressionCompiler(Program &target) : program(target) {}

    // Which roots the part of the spec that is compiled now may use, beside those of the event.
    bool item_allowed = false;
    bool state_allowed = false;

    Path path(const Part &part);        // any
    Path single_path(const Part &part); // without [*]
    Expression expression(const Part &part);
    Condition condition(const Part &part);
    void check_roots(const Path &path, const Part &part);

private:
    Condition comparison(Condition::Sort sort, const Part &part);
    Condition membership(const Part &part);
    Condition combination(Condition::Sort sort, const Part &part);

    Program &program;
};

bool is_path(const Value &value); // a text that begins with one $

} // namespace fold
