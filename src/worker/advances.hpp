// How far a generation has been advanced over events that are not its own, for each checkpoint that was stored of late.
//
// Readers see a checkpoint under their snapshot, and shared memory as it is a moment later. What was told for that checkpoint has
// to be told still when another one has been stored in between, or the position would seem to go back. So this remembers the
// checkpoints before the newest, too. It can be told what is older than it knows: by a worker that another one overtook, or by one
// that has begun again at the stored checkpoint. It stays where it was: what was passed over does not change.
//
// It lies in shared memory: plain data, all zero is empty. This file knows nothing of PostgreSQL.
#pragma once

#include "source/position.hpp"

namespace worker
{

// A position in shared memory.
struct SharedPosition
{
    bool known;
    std::int64_t value;

    source::MaybePosition get() const { return known ? source::MaybePosition(value) : std::nullopt; }
    void set(const source::MaybePosition &position)
    {
        known = position.has_value();
        value = position.value_or(0);
    }
};

class Advances
{
public:
    // `stored` is committed, and no event of the generation lies between it and `advanced`.
    void record(const source::MaybePosition &stored, const source::MaybePosition &advanced)
    {
        const source::MaybePosition before = newest.stored.get();
        if (!stored && before)
            *this = Advances{}; // another generation, of an extension that was created anew
        else if (source::before(stored, before))
            return;
        else if (source::before(before, stored))
        {
            if (source::before(before, newest.advanced.get()))
            {
                earlier[next] = newest;
                next = (next + 1) % remembered;
            }
            newest = Advance{};
            newest.stored.set(stored);
        }
        if (source::before(newest.advanced.get(), advanced))
            newest.advanced.set(advanced);
    }

    source::MaybePosition stored() const { return newest.stored.get(); }

    // For a reader whose snapshot has this checkpoint; nothing if that is too long ago.
    source::MaybePosition over(const source::MaybePosition &checkpoint) const
    {
        if (newest.stored.get() == checkpoint)
            return newest.advanced.get();
        for (const Advance &advance : earlier)
            if (advance.advanced.known && advance.stored.get() == checkpoint)
                return advance.advanced.get();
        return std::nullopt;
    }

private:
    struct Advance
    {
        SharedPosition stored;
        SharedPosition advanced;
    };
    static constexpr int remembered = 8;

    Advance newest;
    Advance earlier[remembered];
    int next;
};

} // namespace worker
