#include "fold/evaluation.hpp"

namespace fold
{

Value Operand::take()
{
    return made.is(Kind::missing) ? copy(place) : std::move(made);
}

Value Evaluator::find_all(const Path &path) const
{
    Value all;
    visit_all(path, scope,
              [&](const Located &place)
              {
                  if (all.is(Kind::missing))
                      all = Value::array();
                  all.push_back(copy(place));
                  return true;
              });
    return all;
}

// A template's member or element that is missing is left out.
Value Evaluator::make(const Expression &expression) const
{
    switch (expression.sort)
    {
    case Expression::Sort::literal:
        return expression.literal.copy();
    case Expression::Sort::path:
        return expression.path.many ? find_all(expression.path) : copy(locate(expression.path, scope));
    case Expression::Sort::object:
    {
        Value object = Value::object(expression.elements.size());
        for (std::size_t i = 0; i < expression.elements.size(); ++i)
            if (Value value = make(expression.elements[i]); !value.is(Kind::missing))
                object.append_member(expression.names[i], std::move(value));
        return object;
    }
    case Expression::Sort::array:
    {
        Value array = Value::array(expression.elements.size());
        for (const Expression &element : expression.elements)
            if (Value value = make(element); !value.is(Kind::missing))
                array.push_back(std::move(value));
        return array;
    }
    }
    return {};
}

void Evaluator::evaluate(const Expression &expression, Operand &operand) const
{
    if (expression.prepared >= 0 && !prepared.empty())
    {
        operand.place = {&TreeReader::get(), TreeReader::view(prepared[static_cast<std::size_t>(expression.prepared)])};
        return;
    }
    if (expression.sort == Expression::Sort::path && !expression.path.many)
    {
        operand.place = locate(expression.path, scope);
        return;
    }
    if (expression.sort == Expression::Sort::literal)
    {
        operand.place = {&TreeReader::get(), TreeReader::view(expression.literal)};
        return;
    }
    operand.made = make(expression);
    operand.place = {&TreeReader::get(), TreeReader::view(operand.made)};
}

void Evaluator::prepare(const Expression &expression)
{
    if (expression.prepared >= 0)
        prepared.push_back(make(expression));
}

// In the order in which compile() numbered them.
void Evaluator::prepare(const Step &step)
{
    prepared.clear();
    for (const Operation &operation : step.operations)
    {
        for (const TargetName &name : operation.target.names)
            if (name.computed)
                prepare(*name.computed);
        prepare(operation.value);
        for (const NamedExpression &each : operation.where)
            prepare(each.value);
        for (const NamedExpression &each : operation.set)
            prepare(each.value);
    }
}

bool Evaluator::compares(const Condition &condition) const
{
    Operand a;
    Operand b;
    evaluate(condition.sides[0], a);
    evaluate(condition.sides[1], b);
    if (a.kind() == Kind::missing || b.kind() == Kind::missing)
        return false;
    if (condition.sort == Condition::Sort::eq || condition.sort == Condition::Sort::ne)
        return equals(a.located(), b.located()) == (condition.sort == Condition::Sort::eq);
    std::strong_ordering order = std::strong_ordering::equal;
    if (a.kind() == Kind::number && b.kind() == Kind::number)
        order = a.number().compare(b.number());
    else if (a.kind() == Kind::text && b.kind() == Kind::text)
        order = a.text().compare(b.text()) <=> 0; // bytes of UTF-8 are ordered as code points are
    else
        return false;
    switch (condition.sort)
    {
    case Condition::Sort::lt:
        return std::is_lt(order);
    case Condition::Sort::le:
        return std::is_lteq(order);
    case Condition::Sort::gt:
        return std::is_gt(order);
    default:
        return std::is_gteq(order);
    }
}

bool Evaluator::is_member(const Condition &condition) const
{
    Operand x;
    evaluate(condition.sides[0], x);
    if (x.kind() == Kind::missing)
        return false;
    if (condition.in_list)
    {
        for (const Expression &each : condition.list)
        {
            Operand y;
            evaluate(each, y);
            if (equals(x.located(), y.located()))
                return true;
        }
        return false;
    }
    Operand list;
    evaluate(condition.sides[1], list);
    if (list.kind() != Kind::array)
        return false;
    const Located &place = list.located();
    const std::size_t size = place.reader->size(place.view);
    for (std::size_t i = 0; i < size; ++i)
        if (equals(x.located(), {place.reader, place.reader->element(place.view, i)}))
            return true;
    return false;
}

bool Evaluator::holds(const Condition &condition) const
{
    switch (condition.sort)
    {
    case Condition::Sort::exists:
        if (!condition.path.many)
            return static_cast<bool>(locate(condition.path, scope));
        return !visit_all(condition.path, scope, [](const Located &) { return false; });
    case Condition::Sort::in:
        return is_member(condition);
    case Condition::Sort::all_of:
        for (const Condition &part : condition.parts)
            if (!holds(part))
                return false;
        return true;
    case Condition::Sort::any_of:
        for (const Condition &part : condition.parts)
            if (holds(part))
                return true;
        return false;
    case Condition::Sort::none_of:
        return !holds(condition.parts[0]);
    default:
        return compares(condition);
    }
}

} // namespace fold
