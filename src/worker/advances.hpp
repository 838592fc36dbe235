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
            const source::MaybePosition told = newest.advanced.get();
            if (source::before(before, told))
            {
                earlier[next] = newest;
                next = (next + 1) % remembered;
            }
            newest = Advance{};
            newest.stored.set(stored);
            // Stored by one who had not come so far yet: nothing of the generation's lies between.
            if (source::before(stored, told))
                newest.advanced.set(told);
        }
        if (source::before(newest.advanced.get(), advanced))
            newest.advanced.set(advanced);
    }

    source::MaybePosition stored() const { return newest.stored.get(); }

    // For a reader whose snapshot has this checkpoint, which may not be known here yet; nothing if it was passed too long ago, or
    // nothing was passed over after it.
    source::MaybePosition over(const source::MaybePosition &checkpoint) const
    {
        source::MaybePosition furthest;
        const auto look = [&](const Advance &advance)
        {
            const source::MaybePosition advanced = advance.advanced.get();
            if (!source::before(checkpoint, advance.stored.get()) && source::before(checkpoint, advanced) &&
                source::before(furthest, advanced))
                furthest = advanced;
        };
        look(newest);
        for (const Advance &advance : earlier)
            look(advance);
        return furthest;
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
