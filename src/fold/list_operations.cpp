// The operations on lists: append, upsert, remove, keep.
#include "fold/operations.hpp"

#include "fold/operation_support.hpp"

#include <algorithm>

namespace fold
{

void Operations::append(const Operation &operation, Instance &instance)
{
    Operand value;
    evaluator.evaluate(operation.value, value);
    if (value.kind() == Kind::missing)
        return;
    const Place place = find(operation, instance);
    if (is_nothing(place))
    {
        Value list = Value::array(1);
        list.push_back(value.take());
        write(instance, place, std::move(list));
        return;
    }
    if (!place.value->is(Kind::array))
        refuse_target(operation, place.value->kind(), "an array");
    write_element(instance, *place.value, value.take());
}

// False: one of them is missing.
bool Operations::evaluate_where(const Operation &operation)
{
    where = std::vector<Operand>(operation.where.size());
    for (std::size_t i = 0; i < operation.where.size(); ++i)
    {
        evaluator.evaluate(operation.where[i].value, where[i]);
        if (where[i].kind() == Kind::missing)
            return false;
    }
    return true;
}

bool Operations::matches(const Operation &operation, const Value &element) const
{
    if (!element.is(Kind::object))
        return false;
    for (std::size_t i = 0; i < where.size(); ++i)
    {
        const Value *member = element.find(operation.where[i].name);
        if (!member || !equals(where[i].located(), {&TreeReader::get(), TreeReader::view(*member)}))
            return false;
    }
    return true;
}

Value Operations::made_element(const Operation &operation) const
{
    Value element = Value::object(operation.where.size() + operation.set.size());
    for (std::size_t i = 0; i < where.size(); ++i)
        element.append_member(operation.where[i].name, copy(where[i].located()));
    for (const NamedExpression &each : operation.set)
    {
        Operand value;
        evaluator.evaluate(each.value, value);
        if (value.kind() != Kind::missing)
            element.put(each.name, value.take());
    }
    return element;
}

void Operations::change_element(const Operation &operation, Instance &instance, Value &list, std::size_t index)
{
    for (const NamedExpression &each : operation.set)
    {
        Operand value;
        evaluator.evaluate(each.value, value);
        if (value.kind() == Kind::missing)
            continue;
        Value &element = list.elements()[index];
        Value *const there = element.find(each.name);
        if (there && identical(value.located(), *there))
            continue;
        Value taken = value.take();
        check_depth(count + 2, taken);
        journal.make_room();
        const std::size_t names = journal.name_count();
        journal.repeat_names(first, count);
        journal.add_name(each.name);
        std::ptrdiff_t bytes = signed_bytes(taken) - signed_own_bytes(element);
        Value old;
        if (there)
        {
            bytes -= signed_bytes(*there);
            old = std::exchange(*there, std::move(taken));
        }
        else
        {
            bytes += name_bytes(each.name);
            element.put(each.name, std::move(taken));
        }
        bytes += signed_own_bytes(element);
        journal.replaced_in_element(instance, names, count + 1, index, std::move(old));
        journal.changed(instance, bytes);
    }
}

void Operations::upsert(const Operation &operation, Instance &instance)
{
    if (!evaluate_where(operation))
        return;
    const Place place = find(operation, instance);
    if (is_nothing(place))
    {
        Value list = Value::array(1);
        list.push_back(made_element(operation));
        write(instance, place, std::move(list));
        return;
    }
    if (!place.value->is(Kind::array))
        refuse_target(operation, place.value->kind(), "an array");
    Value &list = *place.value;
    for (std::size_t i = 0; i < list.size(); ++i)
    {
        if (matches(operation, list.elements()[i]))
        {
            change_element(operation, instance, list, i);
            return;
        }
    }
    write_element(instance, list, made_element(operation));
}

void Operations::remove(const Operation &operation, Instance &instance)
{
    if (!evaluate_where(operation))
        return;
    const Place place = find(operation, instance);
    if (is_nothing(place))
        return;
    if (!place.value->is(Kind::array))
        refuse_target(operation, place.value->kind(), "an array");
    Value &list = *place.value;
    const std::span<Value> elements = list.elements();
    matching.clear();
    std::ptrdiff_t bytes = 0;
    for (std::size_t i = 0; i < elements.size(); ++i)
    {
        if (matches(operation, elements[i]))
        {
            matching.push_back(static_cast<std::uint32_t>(i));
            bytes += signed_bytes(elements[i]);
        }
    }
    if (matching.empty())
        return;
    journal.make_room();
    Value gone = Value::array(matching.size());
    std::size_t kept = matching.front();
    for (std::size_t i = kept; i < elements.size(); ++i)
    {
        if (gone.size() < matching.size() && matching[gone.size()] == i)
            gone.push_back(std::move(elements[i]));
        else
            elements[kept++] = std::move(elements[i]);
    }
    list.truncate(kept);
    journal.removed(instance, first, count, std::move(gone), matching);
    journal.changed(instance, -bytes);
}

void Operations::keep(const Operation &operation, Instance &instance)
{
    const Place place = find(operation, instance);
    if (is_nothing(place))
        return;
    if (!place.value->is(Kind::array))
        refuse_target(operation, place.value->kind(), "an array");
    Value &list = *place.value;
    if (list.size() <= operation.keep)
        return;
    journal.make_room();
    const std::size_t too_many = list.size() - operation.keep;
    if (too_many == 1)
    {
        Value gone = list.take(std::size_t{0});
        const std::ptrdiff_t bytes = signed_bytes(gone);
        journal.dropped_one(instance, first, count, std::move(gone));
        journal.changed(instance, -bytes);
        return;
    }
    Value gone = Value::array(too_many);
    std::ptrdiff_t bytes = 0;
    for (Value &element : list.elements().first(too_many))
    {
        bytes += signed_bytes(element);
        gone.push_back(std::move(element));
    }
    list.drop_front(too_many);
    journal.dropped(instance, first, count, std::move(gone));
    journal.changed(instance, -bytes);
}

} // namespace fold
