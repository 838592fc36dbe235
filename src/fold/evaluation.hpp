// What expressions and conditions yield for an event.
#pragma once

#include "fold/program.hpp"
#include "fold/view.hpp"

#include <vector>

namespace fold
{

// A value that was evaluated: in the event, in the spec or in the state, where it is only looked at; or made.
class Operand
{
public:
    Operand() = default;
    // The place can be within the object.
    Operand(const Operand &) = delete;
    Operand &operator=(const Operand &) = delete;

    Kind kind() const { return place.view.kind; }
    const Located &located() const { return place; }
    Decimal number() const { return place.reader->number(place.view); }
    std::string_view text() const { return place.view.text; }
    Value take(); // made, or copied

private:
    friend class Evaluator;
    Located place;
    Value made;
};

class Evaluator
{
public:
    Scope scope;

    void evaluate(const Expression &expression, Operand &operand) const;
    bool holds(const Condition &condition) const;

    // What reads $state is evaluated before the step, and read from here while its operations run.
    void prepare(const Step &step);
    void end_step() { prepared.clear(); }

private:
    Value make(const Expression &expression) const;
    Value find_all(const Path &path) const;
    bool compares(const Condition &condition) const;
    bool is_member(const Condition &condition) const;
    void prepare(const Expression &expression);

    std::vector<Value> prepared;
};

} // namespace fold
