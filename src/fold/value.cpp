#include "fold/value.hpp"

#include "fold/allocated.hpp"

#include <algorithm>
#include <limits>
#include <new>

namespace fold
{

namespace
{

[[noreturn]] void too_deep()
{
    throw LimitError("a value is nested too deeply: at most " + std::to_string(max_depth) + " levels");
}

// jsonb's limits: 28 bits of length for anything in a container, and what PostgreSQL can allocate while it builds one.
constexpr std::size_t jsonb_longest = 0x0FFFFFFF;
constexpr std::size_t jsonb_most_elements = 0x3FFFFFFF / 32;
constexpr std::size_t jsonb_most_members = 0x3FFFFFFF / 72;

[[noreturn]] void beyond_jsonb(std::string_view what, std::size_t limit)
{
    throw LimitError(std::string(what) + " in the state is beyond what jsonb can hold: at most " +
                     std::to_string(limit));
}

std::uint32_t checked_count(std::size_t size)
{
    if (size > std::numeric_limits<std::uint32_t>::max() / 2)
        beyond_jsonb("a text, array or object", jsonb_longest);
    return static_cast<std::uint32_t>(size);
}

} // namespace

std::string_view describe(Kind kind)
{
    switch (kind)
    {
    case Kind::missing:
        return "missing";
    case Kind::null:
        return "null";
    case Kind::boolean:
        return "a boolean";
    case Kind::number:
        return "a number";
    case Kind::text:
        return "text";
    case Kind::array:
        return "an array";
    case Kind::object:
        return "an object";
    }
    return "";
}

Value Value::null()
{
    Value result;
    result.tag = Kind::null;
    return result;
}

Value Value::boolean(bool value)
{
    Value result;
    result.content.boolean = value;
    result.tag = Kind::boolean;
    return result;
}

Value Value::number(Decimal value)
{
    Value result;
    result.content.number = {value.low, value.high};
    result.count = static_cast<std::uint32_t>(value.places);
    result.tag = Kind::number;
    result.big = std::exchange(value.heap, false);
    return result;
}

Value Value::text(std::string_view value)
{
    Value result;
    result.count = checked_count(value.size());
    char *chars = result.content.chars;
    if (value.size() > inline_text)
    {
        chars = static_cast<char *>(::operator new(value.size()));
        result.content.block.address.chars = chars;
    }
    if (!value.empty())
        std::memcpy(chars, value.data(), value.size());
    result.tag = Kind::text;
    return result;
}

Value Value::array(std::size_t capacity)
{
    Value result;
    result.content.block = {};
    result.tag = Kind::array;
    if (capacity > 0)
        result.grow(capacity);
    return result;
}

Value Value::object(std::size_t capacity)
{
    Value result;
    result.content.block = {};
    result.tag = Kind::object;
    if (capacity > 0)
        result.grow(capacity);
    return result;
}

void Value::release() noexcept
{
    switch (tag)
    {
    case Kind::number:
        if (big)
            delete_big();
        break;
    case Kind::text:
        if (count > inline_text)
            ::operator delete(content.block.address.chars);
        break;
    case Kind::array:
        std::destroy_n(content.block.address.elements, count);
        ::operator delete(content.block.address.elements);
        break;
    case Kind::object:
        std::destroy_n(content.block.address.members, count);
        ::operator delete(content.block.address.members);
        break;
    default:
        break;
    }
    tag = Kind::missing;
}

void Value::delete_big() noexcept
{
    Decimal owner;
    owner.low = content.number.low;
    owner.heap = true;
}

Decimal Value::number() const
{
    Decimal result;
    result.low = content.number.low;
    result.high = content.number.high;
    result.places = static_cast<std::int32_t>(count);
    if (big) [[unlikely]]
    {
        result.heap = true;
        Decimal copied(result);
        result.heap = false;
        return copied;
    }
    return result;
}

// Values are moved to their new block byte by byte: none holds an address of itself.
void Value::grow(std::size_t capacity)
{
    const std::size_t each = tag == Kind::array ? sizeof(Value) : sizeof(Member);
    Block &block = content.block;
    void *const larger = ::operator new(checked_count(capacity) * each);
    if (count > 0)
        std::memcpy(larger, static_cast<const void *>(block.address.chars), count * each);
    ::operator delete(block.address.chars);
    block.address.chars = static_cast<char *>(larger);
    block.capacity = static_cast<std::uint32_t>(capacity);
}

namespace
{

std::size_t next_capacity(std::size_t count)
{
    return count < 4 ? count + 1 : count + count / 2;
}

} // namespace

void Value::push_back(Value element)
{
    if (count == content.block.capacity)
        grow(next_capacity(count));
    new (content.block.address.elements + count) Value(std::move(element));
    ++count;
}

void Value::insert(std::size_t index, Value element)
{
    if (count == content.block.capacity)
        grow(next_capacity(count));
    Value *const place = content.block.address.elements + index;
    std::memmove(static_cast<void *>(place + 1), static_cast<const void *>(place), (count - index) * sizeof(Value));
    new (place) Value(std::move(element));
    ++count;
}

Value Value::take(std::size_t index)
{
    Value *const place = content.block.address.elements + index;
    Value taken = std::move(*place);
    std::memmove(static_cast<void *>(place), static_cast<const void *>(place + 1), (count - index - 1) * sizeof(Value));
    --count;
    return taken;
}

void Value::drop_front(std::size_t how_many)
{
    Value *const begin = content.block.address.elements;
    std::destroy_n(begin, how_many);
    std::memmove(static_cast<void *>(begin), static_cast<const void *>(begin + how_many),
                 (count - how_many) * sizeof(Value));
    count -= static_cast<std::uint32_t>(how_many);
}

void Value::truncate(std::size_t size)
{
    std::destroy(content.block.address.elements + size, content.block.address.elements + count);
    count = static_cast<std::uint32_t>(size);
}

std::size_t Value::lower_bound(std::string_view name) const
{
    const auto all = members();
    const auto place = std::lower_bound(all.begin(), all.end(), name,
                                        [](const Member &member, std::string_view wanted)
                                        { return name_before(member.name(), wanted); });
    return static_cast<std::size_t>(place - all.begin());
}

const Value *Value::find(std::string_view name) const
{
    // Few members are found fastest in their order: most differ in their length already.
    constexpr std::size_t few = 8;
    if (count <= few)
    {
        for (const Member &member : members())
            if (member.name() == name)
                return &member.value;
        return nullptr;
    }
    const std::size_t index = lower_bound(name);
    if (index == count || members()[index].name() != name)
        return nullptr;
    return &members()[index].value;
}

Value *Value::find(std::string_view name)
{
    return const_cast<Value *>(std::as_const(*this).find(name));
}

Value::Member &Value::insert_member(std::size_t index, std::string_view name, Value value)
{
    Value key = text(name);
    if (count == content.block.capacity)
        grow(next_capacity(count));
    Member *const place = content.block.address.members + index;
    std::memmove(static_cast<void *>(place + 1), static_cast<const void *>(place), (count - index) * sizeof(Member));
    new (place) Member{std::move(key), std::move(value)};
    ++count;
    return *place;
}

Value &Value::put(std::string_view name, Value value)
{
    const std::size_t index = lower_bound(name);
    if (index < count && members()[index].name() == name)
        return members()[index].value = std::move(value);
    return insert_member(index, name, std::move(value)).value;
}

Value &Value::append_member(std::string_view name, Value value)
{
    return insert_member(count, name, std::move(value)).value;
}

Value Value::take(std::string_view name)
{
    const std::size_t index = lower_bound(name);
    if (index == count || members()[index].name() != name)
        return {};
    Member *const place = content.block.address.members + index;
    Value taken = std::move(place->value);
    std::destroy_at(place);
    std::memmove(static_cast<void *>(place), static_cast<const void *>(place + 1),
                 (count - index - 1) * sizeof(Member));
    --count;
    return taken;
}

Value Value::copy() const
{
    return copy_at(max_depth);
}

Value Value::copy_at(int levels) const
{
    switch (tag)
    {
    case Kind::number:
        return number(number());
    case Kind::text:
        return text(text());
    case Kind::array:
    {
        if (levels == 0)
            too_deep();
        Value result = array(count);
        for (const Value &element : elements())
            result.push_back(element.copy_at(levels - 1));
        return result;
    }
    case Kind::object:
    {
        if (levels == 0)
            too_deep();
        Value result = object(count);
        for (const Member &member : members())
            result.append_member(member.name(), member.value.copy_at(levels - 1));
        return result;
    }
    default:
    {
        Value result;
        result.content = content;
        result.tag = tag;
        return result;
    }
    }
}

std::size_t Value::text_bytes(std::size_t length)
{
    return length > inline_text ? allocated(length) : 0;
}

std::size_t Value::own_bytes() const
{
    switch (tag)
    {
    case Kind::number:
        return big ? number().heap_bytes() : 0;
    case Kind::text:
        return text_bytes(count);
    case Kind::array:
        return allocated(content.block.capacity * sizeof(Value));
    case Kind::object:
        return allocated(content.block.capacity * sizeof(Member));
    default:
        return 0;
    }
}

std::size_t Value::bytes() const
{
    std::size_t sum = own_bytes();
    if (tag == Kind::array)
        for (const Value &element : elements())
            sum += element.bytes();
    if (tag == Kind::object)
        for (const Member &member : members())
            sum += member.key.own_bytes() + member.value.bytes();
    return sum;
}

int Value::depth() const
{
    int deepest = 0;
    if (tag == Kind::array)
        for (const Value &element : elements())
            deepest = std::max(deepest, element.depth());
    if (tag == Kind::object)
        for (const Member &member : members())
            deepest = std::max(deepest, member.value.depth());
    return is_container() ? deepest + 1 : 0;
}

std::size_t Value::jsonb_bytes() const
{
    constexpr std::size_t padding = 3; // numbers and containers begin at multiples of 4
    constexpr std::size_t entry = 4;
    std::size_t size = 0;
    switch (tag)
    {
    case Kind::number:
        // Header, dscale and weight, and two bytes for four digits.
        size = padding + 8 + 2 * number().to_base10000().digits().size();
        break;
    case Kind::text:
        size = count;
        break;
    case Kind::array:
        if (count > jsonb_most_elements)
            beyond_jsonb("the number of an array's elements", jsonb_most_elements);
        size = padding + entry + entry * count;
        for (const Value &element : elements())
            size += element.jsonb_bytes();
        break;
    case Kind::object:
        if (count > jsonb_most_members)
            beyond_jsonb("the number of an object's members", jsonb_most_members);
        size = padding + entry + 2 * entry * count;
        for (const Member &member : members())
            size += member.key.jsonb_bytes() + member.value.jsonb_bytes();
        break;
    default:
        break;
    }
    if (size > jsonb_longest)
        beyond_jsonb("the length of a text, array or object", jsonb_longest);
    return size;
}

bool Value::equals(const Value &other) const
{
    if (tag != other.tag)
        return false;
    switch (tag)
    {
    case Kind::boolean:
        return content.boolean == other.content.boolean;
    case Kind::number:
        return number() == other.number();
    case Kind::text:
        return text() == other.text();
    case Kind::array:
        return std::ranges::equal(elements(), other.elements(),
                                  [](const Value &a, const Value &b) { return a.equals(b); });
    case Kind::object:
        return std::ranges::equal(members(), other.members(),
                                  [](const Member &a, const Member &b)
                                  { return a.name() == b.name() && a.value.equals(b.value); });
    default:
        return true;
    }
}

bool Value::identical(const Value &other) const
{
    if (tag != other.tag)
        return false;
    switch (tag)
    {
    case Kind::number:
        return number().identical(other.number());
    case Kind::array:
        return std::ranges::equal(elements(), other.elements(),
                                  [](const Value &a, const Value &b) { return a.identical(b); });
    case Kind::object:
        return std::ranges::equal(members(), other.members(),
                                  [](const Member &a, const Member &b)
                                  { return a.name() == b.name() && a.value.identical(b.value); });
    default:
        return equals(other);
    }
}

} // namespace fold
