#include "fold/operations.hpp"

#include "fold/words.hpp"

#include <algorithm>

namespace fold
{

namespace
{

// The parts of "cannot add 5 to "total"".
struct Wording
{
    std::string_view verb;
    std::string_view preposition;
};

constexpr std::array<Wording, 12> wordings = {{{"default", ""},
                                               {"set", ""},
                                               {"unset", ""},
                                               {"merge", "into"},
                                               {"add", "to"},
                                               {"apply min", "to"},
                                               {"apply max", "to"},
                                               {"append", "to"},
                                               {"upsert", "into"},
                                               {"remove", "from"},
                                               {"keep the last of", ""},
                                               {"delete", ""}}};

std::string describe(const Operation &operation, const std::string &value)
{
    const Wording &wording = wordings[static_cast<std::size_t>(operation.what)];
    std::string result(wording.verb);
    if (!value.empty())
        result.append(" ").append(value);
    if (!wording.preposition.empty())
        result.append(" ").append(wording.preposition);
    if (!operation.target.text.empty())
        result.append(" ").append(quoted(operation.target.text));
    return result;
}

// These are rare and would only be in the way of the code that calls them.
[[noreturn, gnu::noinline, gnu::cold]] void refuse_target(const Operation &operation, Kind found,
                                                          std::string_view allowed)
{
    throw UpdaterError("cannot " + describe(operation) + ": it is " + std::string(describe(found)) + ", not " +
                       std::string(allowed));
}

[[noreturn, gnu::noinline, gnu::cold]] void refuse_value(const Operation &operation, Kind found,
                                                         std::string_view allowed)
{
    throw UpdaterError("cannot " + describe(operation, operation.value.text) + ": the value is " +
                       std::string(describe(found)) + ", not " + std::string(allowed));
}

[[noreturn, gnu::noinline, gnu::cold]] void refuse_name(const Expression &name, const Target &target, Kind found)
{
    throw UpdaterError("cannot name a member of \"" + target.text + "\" by " + name.text + ": it is " +
                       std::string(describe(found)) + ", not text or a number");
}

std::ptrdiff_t signed_bytes(const Value &value)
{
    return static_cast<std::ptrdiff_t>(value.bytes());
}

// What a value is apart from the block that it lies in; nothing for most scalars, so this is cheap where it is called.
std::ptrdiff_t signed_own_bytes(const Value &value)
{
    return static_cast<std::ptrdiff_t>(value.own_bytes());
}

std::ptrdiff_t name_bytes(std::string_view name)
{
    return static_cast<std::ptrdiff_t>(Value::text_bytes(name.size()));
}

} // namespace

std::string describe(const Operation &operation)
{
    return describe(operation, "");
}

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
        if (operation.what == Operator::min ? order >= 0 : order <= 0)
            return;
    }
    write(instance, place, value.take());
}

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
