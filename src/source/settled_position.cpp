#include "source/settled_position.hpp"

#include <algorithm>
#include <utility>

namespace source
{

void SettledPosition::raise_edge(Position position)
{
    if (before(settled_edge, position))
        settled_edge = position;
    std::erase_if(marks, [&](const Mark &mark) { return settled_edge && mark.high <= *settled_edge; });
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

// What is missing up to H is dead: the page's snapshot is younger than the proof.
void SettledPosition::reach_proof()
{
    pass_hole(*proven + 1);
    raise_edge(*proven);
}

void SettledPosition::forget_hole_of(Position position)
{
    std::erase_if(dead, [&](const DeadHole &hole) { return hole.first <= position && position <= hole.last; });
}

void SettledPosition::refresh(Witness &witness)
{
    for (Mark &mark : marks)
    {
        std::erase_if(mark.holders, [&](const Holder &holder) { return witness.ended(holder); });
        mark.tests++;
    }
    const auto last_proved =
        std::find_if(marks.rbegin(), marks.rend(), [](const Mark &mark) { return mark.holders.empty(); });
    if (last_proved != marks.rend())
    {
        prove(last_proved->high);
        marks.erase(marks.begin(), last_proved.base());
    }
    // The older of two marks is of no more use once nobody but its own holders is left of the younger one.
    for (std::size_t i = 1; i < marks.size();)
        if (std::includes(marks[i - 1].holders.begin(), marks[i - 1].holders.end(), marks[i].holders.begin(),
                          marks[i].holders.end()))
            marks.erase(marks.begin() + static_cast<std::ptrdiff_t>(i) - 1);
        else
            i++;
}

void SettledPosition::prove(Position high)
{
    if (before(proven, high))
        proven = high;
}

void SettledPosition::begin_again(MaybePosition edge)
{
    settled_edge = edge;
    proven.reset();
    marks.clear();
}

void SettledPosition::settle_up_to(const MaybePosition &checkpoint)
{
    if (checkpoint)
        raise_edge(*checkpoint);
}

MaybePosition SettledPosition::first_hole() const
{
    return settled_edge ? MaybePosition(*settled_edge + 1) : std::nullopt;
}

// Returns true if the mark was proved at once, because nobody holds the lock.
bool SettledPosition::take_mark(Witness &witness)
{
    // H first, then the holders: see the proof.
    const Position high = witness.last_drawn();
    witness.announce(high);
    std::vector<Holder> holders = witness.holders();
    lookup_count++;
    if (holders.empty())
    {
        prove(high);
        marks.clear(); // whoever held them up has ended as well
        return true;
    }
    std::sort(holders.begin(), holders.end());
    if (marks.size() == most_marks)
        marks.pop_back();
    marks.push_back(Mark{first_hole(), high, std::move(holders), 0});
    return false;
}

SettledPosition::Verdict SettledPosition::judge(std::span<const Position> positions, bool exhausted, Witness &witness)
{
    lookups_before_judging = lookup_count;
    std::size_t settled = 0;
    for (const Position position : positions)
    {
        if (proven && *proven < position)
            reach_proof(); // all that is visible up to there came before
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
        reach_proof();
    if (all && (settled_edge || !exhausted))
        return {settled, false};

    // A hole, or nothing to stand on yet.
    if (marks.empty())
        return {settled, take_mark(witness)};
    marks.front().hole = first_hole();
    const Mark &youngest = marks.back();
    // Holes that no mark covers need one: at once if nothing can be settled without it, else when the marks that are there take
    // their time, so that whoever begins from now on does not hold up these holes too.
    const bool first_is_covered = all || positions[settled] <= youngest.high;
    const bool all_are_covered = all || positions.back() <= youngest.high;
    if (first_is_covered && (all_are_covered || youngest.tests < tests_before_another || marks.size() == most_marks))
        return {settled, false};
    return {settled, take_mark(witness)};
}

std::int64_t SettledPosition::lookups_of_batch()
{
    return lookups_before_judging - std::exchange(lookups_accounted_for, lookups_before_judging);
}

void SettledPosition::settle_unread(Witness &witness)
{
    refresh(witness);
    const Position high = witness.last_drawn();
    const bool uncovered =
        marks.empty() ? !settled_edge || *settled_edge < high : marks.back().high < high && marks.size() < most_marks;
    if (uncovered)
        take_mark(witness);
    if (proven)
        raise_edge(*proven);
}

} // namespace source
