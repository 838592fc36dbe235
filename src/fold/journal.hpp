// Journal: how to take back what an event did, for the case that one of its operations fails.
//
// Every change of a state is entered after it was made, in the room that make_room() has seen to; roll_back() takes the
// entries back, last one first. Places are kept as names and not as addresses, since arrays and objects move when they grow.
// The memory is used again for the next event.
#pragma once

#include "fold/updater.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace fold
{

class Journal
{
public:
    void begin(Changes &target);
    void roll_back();       // may run out of memory, and then leaves the states half way
    void commit() noexcept; // forgets how to take it back

    // Names of a target. They are written one after the other and stay until the end of the event; they are views of the
    // spec, or kept by keep_name().
    std::size_t name_count() const { return names.size(); }
    void add_name(std::string_view name) { names.push_back(name); }
    std::string_view name(std::size_t index) const { return names[index]; }
    void repeat_names(std::size_t first, std::size_t how_many);
    void forget_names(std::size_t first) { names.resize(first); }
    std::string_view keep_name(std::string_view name);

    void make_room() { entries.reserve(entries.size() == entries.capacity() ? 2 * entries.size() + 8 : 0); }

    // The memory of a state changed; the instance is one of Changes::instances from now on.
    void changed(Instance &instance, std::ptrdiff_t bytes)
    {
        account(instance, bytes);
        if (!instance.touched)
            touch(instance);
    }

    // Where the names from first on lead to there was this before; missing: nothing.
    void replaced(Instance &instance, std::size_t first, std::size_t count, Value old);
    // The array there got one more element.
    void appended(Instance &instance, std::size_t first, std::size_t count);
    // The array there lost its first elements: one, or an array of them.
    void dropped_one(Instance &instance, std::size_t first, std::size_t count, Value old);
    void dropped(Instance &instance, std::size_t first, std::size_t count, Value old);
    // The array there lost these elements, which were at these indexes.
    void removed(Instance &instance, std::size_t first, std::size_t count, Value old,
                 const std::vector<std::uint32_t> &where);
    // In the array there, an element's member with the last of the names had this value before.
    void replaced_in_element(Instance &instance, std::size_t first, std::size_t count, std::size_t index, Value old);
    // The instance was made, or deleted.
    void made(Instance &instance);
    void deleted(Instance &instance, Value old);

private:
    enum class Sort : std::uint8_t
    {
        replaced,
        appended,
        dropped_one,
        dropped,
        removed,
        replaced_in_element,
        made,
        deleted
    };

    struct Entry
    {
        Instance *instance;
        std::uint32_t first;
        std::uint32_t count;
        std::uint32_t index;
        Sort sort;
        Value old;
    };

    void enter(Sort sort, Instance &instance, std::size_t first, std::size_t count, std::size_t index, Value old);
    void touch(Instance &instance);
    void account(Instance &instance, std::ptrdiff_t bytes)
    {
        instance.bytes += static_cast<std::size_t>(bytes);
        changes->bytes += bytes;
    }
    void take_back(Entry &entry);
    void put_back(Instance &instance, Value &object, std::string_view name, Value old);
    void put_back(Instance &instance, Value &array, std::size_t index, Value old);
    Value &find(const Entry &entry, std::size_t count);

    Changes *changes = nullptr;
    std::vector<Entry> entries;
    std::vector<std::string_view> names;
    std::vector<std::uint32_t> indexes; // of removed elements
    std::deque<std::string> kept;
    std::size_t kept_count = 0;
};

} // namespace fold
