#include "fold/operations.hpp"

#include "fold/operation_support.hpp"
#include "fold/words.hpp"

#include <algorithm>

namespace fold
{

bool Operations::name_target(const Target &target)
{
    first = journal.name_count();
    count = target.names.size();
    if (target.fixed)
    {
        for (const TargetName &name : target.names)
            journal.add_name(name.name);
        return true;
    }
    for (const TargetName &name : target.names)
    {
        if (!name.computed)
        {
            journal.add_name(name.name);
            continue;
        }
        Operand computed;
        evaluator.evaluate(*name.computed, computed);
        switch (computed.kind())
        {
        case Kind::missing:
        case Kind::null:
            journal.forget_names(first);
            return false;
        case Kind::text:
            journal.add_name(journal.keep_name(computed.text()));
            break;
        case Kind::number:
            journal.add_name(journal.keep_name(computed.number().text()));
            break;
        default:
            refuse_name(*name.computed, target, computed.kind());
        }
    }
    return true;
}

Operations::Place Operations::find(const Operation &operation, Instance &instance) const
{
    Place place;
    if (!instance.exists)
        return place;
    place.object = &instance.state;
    while (true)
    {
        Value *const found = place.object->find(journal.name(first + place.depth));
        if (!found || place.depth + 1 == count)
        {
            place.value = found;
            return place;
        }
        if (!found->is(Kind::object)) [[unlikely]]
        {
            std::string parent;
            for (std::size_t i = 0; i <= place.depth; ++i)
                parent.append(i == 0 ? "" : ".").append(journal.name(first + i));
            throw UpdaterError("cannot " + describe(operation) + ": " + quoted(parent) + " is " +
                               std::string(describe(found->kind())) + ", not an object");
        }
        place.object = found;
        ++place.depth;
    }
}

void Operations::check_depth(std::size_t containers, const Value &value) const
{
    if (value.is_container() && containers + static_cast<std::size_t>(value.depth()) > max_depth)
        throw LimitError("the state would be nested in more than " + std::to_string(max_depth) + " levels");
}

void Operations::write(Instance &instance, const Place &place, Value value)
{
    check_depth(count, value);
    journal.make_room();
    if (place.value)
    {
        const std::ptrdiff_t bytes = signed_bytes(value) - signed_bytes(*place.value);
        Value old = std::exchange(*place.value, std::move(value));
        journal.replaced(instance, first, count, std::move(old));
        journal.changed(instance, bytes);
        return;
    }
    Value *object = place.object;
    if (!object)
    {
        instance.state = Value::object();
        instance.exists = true;
        journal.made(instance);
        journal.changed(instance, 0);
        journal.make_room();
        object = &instance.state;
    }
    // Parents that are missing are made from the inside, so that one member is added at the end.
    for (std::size_t i = count - 1; i > place.depth; --i)
    {
        Value parent = Value::object(1);
        parent.append_member(journal.name(first + i), std::move(value));
        value = std::move(parent);
    }
    const std::ptrdiff_t before = signed_own_bytes(*object);
    const std::string_view name = journal.name(first + place.depth);
    const Value &added = object->put(name, std::move(value));
    const std::ptrdiff_t bytes = signed_bytes(added) + name_bytes(name) + signed_own_bytes(*object) - before;
    journal.replaced(instance, first, place.depth + 1, {});
    journal.changed(instance, bytes);
}

void Operations::write_element(Instance &instance, Value &array, Value element)
{
    check_depth(count + 1, element);
    journal.make_room();
    const std::ptrdiff_t bytes = signed_bytes(element);
    const std::ptrdiff_t before = signed_own_bytes(array);
    array.push_back(std::move(element));
    journal.appended(instance, first, count);
    journal.changed(instance, bytes + signed_own_bytes(array) - before);
}

void Operations::set_default(const Operation &operation, Instance &instance)
{
    Operand value;
    evaluator.evaluate(operation.value, value);
    if (value.kind() == Kind::missing)
        return;
    const Place place = find(operation, instance);
    if (!place.value)
        write(instance, place, value.take());
}

void Operations::set(const Operation &operation, Instance &instance)
{
    Operand value;
    evaluator.evaluate(operation.value, value);
    if (value.kind() == Kind::missing)
        return;
    const Place place = find(operation, instance);
    if (!place.value || !identical(value.located(), *place.value))
        write(instance, place, value.take());
}

void Operations::unset(const Operation &operation, Instance &instance)
{
    const Place place = find(operation, instance);
    if (!place.value)
        return;
    journal.make_room();
    const std::string_view name = journal.name(first + place.depth);
    Value old = place.object->take(name);
    const std::ptrdiff_t bytes = signed_bytes(old) + name_bytes(name);
    journal.replaced(instance, first, count, std::move(old));
    journal.changed(instance, -bytes);
}

void Operations::merge(const Operation &operation, Instance &instance)
{
    Operand value;
    evaluator.evaluate(operation.value, value);
    if (value.kind() == Kind::missing || value.kind() == Kind::null)
        return;
    if (value.kind() != Kind::object)
        refuse_value(operation, value.kind(), "an object");
    const Place place = find(operation, instance);
    if (is_nothing(place))
    {
        write(instance, place, value.take());
        return;
    }
    if (!place.value->is(Kind::object))
        refuse_target(operation, place.value->kind(), "an object");
    const Located &members = value.located();
    const std::size_t size = members.reader->size(members.view);
    // Each member is a target of its own, with one name more.
    const std::size_t own_first = first;
    const std::size_t own_count = count;
    Value &object = *place.value;
    for (std::size_t i = 0; i < size; ++i)
    {
        const auto [name, view] = members.reader->member_at(members.view, i);
        const Located member{members.reader, view};
        Value *const there = object.find(name);
        if (there && identical(member, *there))
            continue;
        first = journal.name_count();
        count = own_count + 1;
        journal.repeat_names(own_first, own_count);
        journal.add_name(journal.keep_name(name));
        write(instance, {&object, there, own_count}, copy(member));
    }
}

void Operations::add(const Operation &operation, Instance &instance)
{
    Operand value;
    evaluator.evaluate(operation.value, value);
    if (value.kind() != Kind::number)
    {
        if (value.kind() == Kind::missing || value.kind() == Kind::null)
            return;
        refuse_value(operation, value.kind(), "a number");
    }
    const Place place = find(operation, instance);
    Decimal sum = value.number();
    if (is_nothing(place))
    {
        write(instance, place, Value::number(std::move(sum)));
        return;
    }
    if (!place.value->is(Kind::number))
        refuse_target(operation, place.value->kind(), "a number");
    const Decimal before = place.value->number();
    sum += before;
    if (!sum.identical(before))
        write(instance, place, Value::number(std::move(sum)));
}

// min and max.
void Operations::pick(const Operation &operation, Instance &instance)
{
    Operand value;
    evaluator.evaluate(operation.value, value);
    if (value.kind() == Kind::missing || value.kind() == Kind::null)
        return;
    if (value.kind() != Kind::number && value.kind() != Kind::text)
        refuse_value(operation, value.kind(), "a number or text");
    const Place place = find(operation, instance);
    if (!is_nothing(place))
    {
        if (place.value->kind() != value.kind())
            refuse_target(operation, place.value->kind(), std::string(describe(value.kind())) + " as the value is");
        const std::strong_ordering order = value.kind() == Kind::number
                                               ? value.number().compare(place.value->number())
                                               : value.text().compare(place.value->text()) <=> 0;
        if (operation.what == Operator::min ? std::is_gteq(order) : std::is_lteq(order))
            return;
    }
    write(instance, place, value.take());
}

void Operations::delete_instance(Instance &instance)
{
    if (!instance.exists)
        return;
    journal.make_room();
    const std::ptrdiff_t bytes = signed_bytes(instance.state);
    Value old = std::move(instance.state);
    instance.state = {};
    instance.exists = false;
    journal.deleted(instance, std::move(old));
    journal.changed(instance, -bytes);
}

void Operations::apply(const Operation &operation, Instance &instance)
{
    if (!name_target(operation.target))
        return;
    switch (operation.what)
    {
    case Operator::set_default:
        set_default(operation, instance);
        break;
    case Operator::set:
        set(operation, instance);
        break;
    case Operator::unset:
        unset(operation, instance);
        break;
    case Operator::merge:
        merge(operation, instance);
        break;
    case Operator::add:
        add(operation, instance);
        break;
    case Operator::min:
    case Operator::max:
        pick(operation, instance);
        break;
    case Operator::append:
        append(operation, instance);
        break;
    case Operator::upsert:
        upsert(operation, instance);
        break;
    case Operator::remove:
        remove(operation, instance);
        break;
    case Operator::keep:
        keep(operation, instance);
        break;
    case Operator::delete_instance:
        break;
    }
}

} // namespace fold
