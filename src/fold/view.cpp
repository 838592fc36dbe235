#include "fold/view.hpp"

#include <string>

namespace fold
{

namespace
{

const Value &value_of(const View &view)
{
    return *static_cast<const Value *>(view.node);
}

[[noreturn]] void too_deep()
{
    throw LimitError("values that are nested in more than " + std::to_string(max_depth) + " levels cannot be compared");
}

bool equals_at(const Located &a, const Located &b, int levels)
{
    if (a.kind() != b.kind())
        return false;
    switch (a.kind())
    {
    case Kind::boolean:
        return a.view.boolean == b.view.boolean;
    case Kind::number:
        return a.reader->number(a.view) == b.reader->number(b.view);
    case Kind::text:
        return a.view.text == b.view.text;
    case Kind::array:
    {
        const std::size_t size = a.reader->size(a.view);
        if (b.reader->size(b.view) != size)
            return false;
        if (levels == 0)
            too_deep();
        for (std::size_t i = 0; i < size; ++i)
            if (!equals_at({a.reader, a.reader->element(a.view, i)}, {b.reader, b.reader->element(b.view, i)},
                           levels - 1))
                return false;
        return true;
    }
    case Kind::object:
    {
        const std::size_t size = a.reader->size(a.view);
        if (b.reader->size(b.view) != size)
            return false;
        if (levels == 0)
            too_deep();
        for (std::size_t i = 0; i < size; ++i)
        {
            const auto [a_name, a_view] = a.reader->member_at(a.view, i);
            const auto [b_name, b_view] = b.reader->member_at(b.view, i);
            if (a_name != b_name || !equals_at({a.reader, a_view}, {b.reader, b_view}, levels - 1))
                return false;
        }
        return true;
    }
    default:
        return true;
    }
}

bool identical_at(const Located &a, const Value &b, int levels)
{
    if (a.kind() != b.kind())
        return false;
    switch (a.kind())
    {
    case Kind::boolean:
        return a.view.boolean == b.boolean();
    case Kind::number:
        return a.reader->number(a.view).identical(b.number());
    case Kind::text:
        return a.view.text == b.text();
    case Kind::array:
    {
        if (a.reader->size(a.view) != b.size())
            return false;
        if (levels == 0)
            too_deep();
        std::size_t i = 0;
        for (const Value &element : b.elements())
            if (!identical_at({a.reader, a.reader->element(a.view, i++)}, element, levels - 1))
                return false;
        return true;
    }
    case Kind::object:
    {
        if (a.reader->size(a.view) != b.size())
            return false;
        if (levels == 0)
            too_deep();
        std::size_t i = 0;
        for (const Value::Member &member : b.members())
        {
            const auto [name, view] = a.reader->member_at(a.view, i++);
            if (name != member.name() || !identical_at({a.reader, view}, member.value, levels - 1))
                return false;
        }
        return true;
    }
    default:
        return true;
    }
}

} // namespace

const TreeReader &TreeReader::get()
{
    static const TreeReader reader;
    return reader;
}

View TreeReader::view(const Value &value)
{
    View result;
    result.kind = value.kind();
    if (value.is(Kind::boolean))
        result.boolean = value.boolean();
    else if (value.is(Kind::text))
        result.text = value.text();
    result.node = &value;
    return result;
}

View TreeReader::member(const View &object, std::string_view name) const
{
    const Value *found = value_of(object).find(name);
    return found ? view(*found) : View{};
}

View TreeReader::element(const View &array, std::size_t index) const
{
    const auto elements = value_of(array).elements();
    return index < elements.size() ? view(elements[index]) : View{};
}

std::size_t TreeReader::size(const View &container) const
{
    return value_of(container).size();
}

std::pair<std::string_view, View> TreeReader::member_at(const View &object, std::size_t index) const
{
    const Value::Member &member = value_of(object).members()[index];
    return {member.name(), view(member.value)};
}

Decimal TreeReader::number(const View &number) const
{
    return value_of(number).number();
}

Value TreeReader::copy(const View &view) const
{
    return value_of(view).copy();
}

bool equals(const Located &a, const Located &b)
{
    return equals_at(a, b, max_depth);
}

bool identical(const Located &a, const Value &b)
{
    return identical_at(a, b, max_depth);
}

Value copy(const Located &place)
{
    switch (place.kind())
    {
    case Kind::missing:
        return {};
    case Kind::null:
        return Value::null();
    case Kind::boolean:
        return Value::boolean(place.view.boolean);
    case Kind::number:
        return Value::number(place.reader->number(place.view));
    case Kind::text:
        return Value::text(place.view.text);
    default:
        return place.reader->copy(place.view);
    }
}

} // namespace fold
