// Value: a JSON document in memory that can be changed in place: a state, or a part of one.
//
// 24 bytes, cheap to move, copied only by copy(). Objects are vectors of members in jsonb's order (shorter names first,
// then by bytes), each name once; texts of up to 16 bytes lie in the value itself. Kind::missing is "nothing there": it
// stands for what a path does not find and for the state of an instance that does not exist, and is never an element
// or a member. A reference into a value ends with the next change of the array or object that holds it.
//
// Nesting: nobody builds a value deeper than max_depth. copy() and parse_json() check it, and so does every operation.
#pragma once

#include "fold/decimal.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace fold
{

inline constexpr int max_depth = 1000; // arrays and objects within each other

enum class Kind : std::uint8_t
{
    missing,
    null,
    boolean,
    number,
    text,
    array,
    object
};

// As an error message names it: "a number", "text", ..
std::string_view describe(Kind kind);

// jsonb's order of member names.
inline bool name_before(std::string_view a, std::string_view b)
{
    if (a.size() != b.size())
        return a.size() < b.size();
    return !a.empty() && std::memcmp(a.data(), b.data(), a.size()) < 0;
}

class Value
{
public:
    struct Member;

    Value() noexcept = default;
    Value(Value &&other) noexcept { steal(other); }
    Value &operator=(Value &&other) noexcept
    {
        if (this != &other)
        {
            clear();
            steal(other);
        }
        return *this;
    }
    Value(const Value &) = delete;
    Value &operator=(const Value &) = delete;
    ~Value() { clear(); }

    static Value null();
    static Value boolean(bool value);
    static Value number(Decimal value);
    static Value text(std::string_view value); // valid UTF-8 without U+0000
    static Value array(std::size_t capacity = 0);
    static Value object(std::size_t capacity = 0);

    Value copy() const; // deep; LimitError beyond max_depth

    Kind kind() const { return tag; }
    bool is(Kind kind) const { return tag == kind; }
    bool is_container() const { return tag >= Kind::array; }

    // Each only of a value of its kind.
    bool boolean() const { return content.boolean; }
    Decimal number() const;
    std::string_view text() const
    {
        return {count <= inline_text ? content.chars : content.block.address.chars, count};
    }

    // Asks for the memory that a container's content lies in.
    void prefetch() const
    {
        if (is_container())
            __builtin_prefetch(content.block.address.members);
    }

    // Arrays and objects: how many elements or members.
    std::size_t size() const { return count; }
    bool empty() const { return count == 0; }

    // Arrays.
    std::span<Value> elements() { return {content.block.address.elements, count}; }
    std::span<const Value> elements() const { return {content.block.address.elements, count}; }
    void push_back(Value element);
    void insert(std::size_t index, Value element);
    Value take(std::size_t index);         // out of the array
    void drop_front(std::size_t how_many); // the first elements go
    void truncate(std::size_t size);       // the elements after so many go

    // Objects.
    std::span<Member> members();
    std::span<const Member> members() const;
    Value *find(std::string_view name);
    const Value *find(std::string_view name) const;
    Value &put(std::string_view name, Value value);           // replaces or adds
    Value &append_member(std::string_view name, Value value); // adds; the name comes after all that are there
    Value take(std::string_view name);                        // out of the object; missing if it is not in it

    // Heap memory, with what the allocator adds: of this value alone, and with all that is in it. A value itself counts
    // with the block that it lies in.
    std::size_t own_bytes() const;
    static std::size_t text_bytes(std::size_t length); // own_bytes() of such a text, also of a member's name
    std::size_t bytes() const;
    // 0 for scalars, 1 for [] and {}.
    int depth() const;
    // At least as many bytes as it takes as jsonb; LimitError if jsonb cannot hold it.
    std::size_t jsonb_bytes() const;

    // Numbers by value, at any depth. Missing equals missing.
    bool equals(const Value &other) const;
    // The same bytes when printed.
    bool identical(const Value &other) const;

private:
    static constexpr std::size_t inline_text = 16;

    struct Block
    {
        union
        {
            Value *elements;
            Member *members;
            char *chars;
        } address;
        std::uint32_t capacity;
    };
    union Content
    {
        bool boolean;
        char chars[inline_text];
        struct
        {
            std::uint64_t low;
            std::uint64_t high;
        } number;
        Block block;
    };

    void steal(Value &other) noexcept
    {
        content = other.content;
        count = other.count;
        tag = std::exchange(other.tag, Kind::missing);
        big = other.big;
    }
    void clear() noexcept
    {
        if (tag >= Kind::number)
            release();
    }
    void release() noexcept;
    void delete_big() noexcept;
    void grow(std::size_t capacity);
    std::size_t lower_bound(std::string_view name) const;
    Member &insert_member(std::size_t index, std::string_view name, Value value);
    Value copy_at(int levels) const;

    Content content{};
    std::uint32_t count = 0; // of bytes, elements or members; of a number its scale
    Kind tag = Kind::missing;
    bool big = false; // a number beyond 128 bits
};

struct Value::Member
{
    std::string_view name() const { return key.text(); }

    Value key; // a text; changing it breaks the order
    Value value;
};

static_assert(sizeof(Value) == 24);

inline std::span<Value::Member> Value::members()
{
    return {content.block.address.members, count};
}

inline std::span<const Value::Member> Value::members() const
{
    return {content.block.address.members, count};
}

} // namespace fold
