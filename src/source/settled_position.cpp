#include "source/settled_position.hpp"

namespace source
{

void SettledPosition::raise_edge(Position position)
{
    if (before(settled_edge, position))
        settled_edge = position;
    if (mark && settled_edge && mark->high <= *settled_edge)
        mark.reset();
}

// The positions between the edge and `up_to`, which is proved, are missing under a snapshot that is younger than the proof.
void SettledPosition::pass_hole(Position up_to)
{
    if (!settled_edge || up_to <= *settled_edge + 1)
        return;
    if (!dead.empty() && dead.back().last == *settled_edge)
        dead.back().last = up_to - 1;
    else
        dead.push_back({*settled_edge + 1, up_to - 1});
    if (dead.size() > most_dead_holes)
        dead.pop_front();
}

void SettledPosition::forget_hole_of(Position position)
{
    std::erase_if(dead, [&](const DeadHole &hole) { return hole.first <= position && position <= hole.last; });
}

void SettledPosition::refresh(Witness &witness)
{
    if (!mark)
        return;
    std::erase_if(mark->holders, [&](const Holder &holder) { return witness.ended(holder); });
    if (!mark->holders.empty())
        return;
    proven = mark->high;
    mark.reset();
}

MaybePosition SettledPosition::first_hole() const
{
    return settled_edge ? MaybePosition(*settled_edge + 1) : std::nullopt;
}

// Returns true if the mark was proved at once, because nobody holds the lock.
bool SettledPosition::take_mark(MaybePosition hole, Witness &witness)
{
    // H first, then the holders: see the proof.
    const Position high = witness.last_drawn();
    witness.announce(high);
    std::vector<Holder> holders = witness.holders();
    lookup_count++;
    if (holders.empty())
    {
        if (before(proven, high))
            proven = high;
        return true;
    }
    mark = Mark{hole, high, std::move(holders)};
    return false;
}

SettledPosition::Verdict SettledPosition::judge(std::span<const Position> positions, bool exhausted, Witness &witness)
{
    std::size_t settled = 0;
    for (const Position position : positions)
    {
        const bool known = settled_edge && position <= *settled_edge;
        const bool next = settled_edge && position == *settled_edge + 1;
        const bool below_proof = proven && position <= *proven;
        if (!known && !next && !below_proof)
            break;
        pass_hole(position);
        raise_edge(position);
        settled++;
    }

    const bool all = settled == positions.size();
    if (all && exhausted && proven)
    {
        pass_hole(*proven + 1);
        raise_edge(*proven); // what is missing up to H is dead: this snapshot is younger than the proof
    }
    if (all && (settled_edge || !exhausted))
        return {settled, false};

    // A hole, or nothing to stand on yet.
    const MaybePosition hole = first_hole();
    if (mark && (all || positions[settled] <= mark->high))
    {
        mark->hole = hole;
        return {settled, false};
    }
    mark.reset();
    return {settled, take_mark(hole, witness)};
}

void SettledPosition::settle_unread(Witness &witness)
{
    refresh(witness);
    const Position high = mark ? mark->high : witness.last_drawn();
    if (!mark && (!settled_edge || *settled_edge < high))
        take_mark(first_hole(), witness);
    if (proven)
        raise_edge(*proven);
}

} // namespace source
