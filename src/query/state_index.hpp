// The entries of a cache of states by id: open addressing over their hashes.
//
// A fold meets instances in no order at all, so what it waits for is memory. Hence a table of its own: the slots of many ids are
// asked for at once, then their entries, and only then is any of them looked at. A map of the standard library goes from bucket to
// node to node, one after the other.
#pragma once

#include "pg/postgres.hpp"

namespace query
{

// Entry: a pair whose first member is the id. They are the caller's.
template <class Entry>
class StateIndex
{
public:
    static std::uint64_t hash_of(std::string_view id) { return std::hash<std::string_view>()(id); }

    void prefetch(std::uint64_t hash) const
    {
        if (!slots.empty())
            __builtin_prefetch(&slots[hash & mask]);
    }

    // The entry that probably has this hash, without looking at it.
    Entry *candidate(std::uint64_t hash) const
    {
        if (!slots.empty())
            for (std::size_t at = hash & mask; slots[at].entry; at = (at + 1) & mask)
                if (slots[at].hash == hash)
                    return slots[at].entry;
        return nullptr;
    }

    Entry *find(std::string_view id, std::uint64_t hash) const
    {
        if (!slots.empty())
            for (std::size_t at = hash & mask; slots[at].entry; at = (at + 1) & mask)
                if (slots[at].hash == hash && slots[at].entry->first == id)
                    return slots[at].entry;
        return nullptr;
    }

    // Its id is not in the table yet.
    void add(Entry *entry, std::uint64_t hash)
    {
        if (3 * (count + 1) > 2 * slots.size())
            grow();
        place({hash, entry});
        count++;
    }

    std::size_t size() const { return count; }
    std::size_t bytes() const { return slots.capacity() * sizeof(Slot); }

    template <class F>
    void each(F &&f) const
    {
        for (const Slot &slot : slots)
            if (slot.entry)
                f(*slot.entry);
    }

    // Keeps those for which f() is true.
    template <class F>
    void keep_if(F &&f)
    {
        std::vector<Slot> kept;
        for (const Slot &slot : slots)
            if (slot.entry && f(*slot.entry))
                kept.push_back(slot);
        std::fill(slots.begin(), slots.end(), Slot());
        for (const Slot &slot : kept)
            place(slot);
        count = kept.size();
    }

    void clear()
    {
        slots = {};
        count = mask = 0;
    }

private:
    struct Slot
    {
        std::uint64_t hash = 0;
        Entry *entry = nullptr;
    };
    static constexpr std::size_t least_slots = 64;

    void place(const Slot &slot)
    {
        std::size_t at = slot.hash & mask;
        while (slots[at].entry)
            at = (at + 1) & mask;
        slots[at] = slot;
    }

    void grow()
    {
        const std::vector<Slot> old = std::exchange(slots, std::vector<Slot>(std::max(least_slots, 2 * slots.size())));
        mask = slots.size() - 1;
        for (const Slot &slot : old)
            if (slot.entry)
                place(slot);
    }

    std::vector<Slot> slots; // a power of two of them
    std::size_t mask = 0;
    std::size_t count = 0;
};

} // namespace query
