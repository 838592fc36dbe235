// The settled position against simulated writers: whatever they do between any two steps of the reader, no event may appear at or
// below what was settled.
//
// Seen to fail: with the holders collected before H is read (take_mark), with the mark tested after the page was read (refresh after
// the snapshot), with a run of events continued over a hole (judge), with a left edge assumed where nothing was applied yet, with a
// proved mark taken for the proof of a younger one (refresh), and, for the stall, with one mark at a time (judge).

#include "source/settled_position.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>

using source::Holder;
using source::MaybePosition;
using source::Position;
using source::SettledPosition;
using source::Witness;

namespace
{

// Writers that draw numbers and end in any order, as F1 and F2 of settled_position.hpp say they do.
class Writers final : public Witness
{
public:
    explicit Writers(std::uint64_t seed, Position start) : random(seed), last(start - 1) {}

    // A few random acts of other sessions. Called between any two steps of the reader.
    void act()
    {
        for (unsigned acts = random() % 4; acts > 0; acts--)
        {
            const unsigned kind = random() % 10;
            if (kind < 3 && open.size() < 5)
                open[next_transaction++] = {};
            else if (kind < 7 && !open.empty())
                any_open()->second.insert(++last);
            else if (!open.empty())
                end(any_open(), random() % 3 != 0);
        }
    }

    void end_all()
    {
        while (!open.empty())
            end(open.begin(), random() % 3 != 0);
    }

    std::set<Position> snapshot() const { return visible; }

    Position last_drawn() override
    {
        const Position high = last;
        act();
        return high;
    }

    void announce(Position) override {}

    std::vector<Holder> holders() override
    {
        std::vector<Holder> found;
        for (const auto &[transaction, drawn] : open)
            if (!drawn.empty())
                found.push_back(Holder{1, transaction, 0});
        act();
        return found;
    }

    bool ended(const Holder &holder) override
    {
        const bool gone = !open.contains(holder.transaction);
        act();
        return gone;
    }

private:
    using Open = std::map<std::uint32_t, std::set<Position>>;

    Open::iterator any_open()
    {
        auto found = open.begin();
        std::advance(found, static_cast<std::ptrdiff_t>(random() % open.size()));
        return found;
    }

    void end(Open::iterator transaction, bool commit)
    {
        if (commit)
            for (const Position position : transaction->second)
                if (random() % 8 != 0) // a number that is drawn need not be used
                    visible.insert(position);
        open.erase(transaction);
    }

    std::mt19937_64 random;
    Position last;
    std::uint32_t next_transaction = 1;
    Open open;
    std::set<Position> visible;
};

// Reads pages as a lane does, and remembers what it applied.
class Reader
{
public:
    explicit Reader(Writers &w) : writers(w) {}

    void step(std::size_t limit)
    {
        settled.refresh(writers);
        writers.act();
        for (int attempt = 0; attempt < 3; attempt++)
        {
            const std::set<Position> visible = writers.snapshot();
            writers.act();
            std::vector<Position> page;
            for (auto next = cursor ? visible.upper_bound(*cursor) : visible.begin();
                 next != visible.end() && page.size() < limit; ++next)
                page.push_back(*next);
            const auto verdict = settled.judge(page, page.size() < limit, writers);
            writers.act();
            if (verdict.read_again && attempt < 2)
                continue;
            for (std::size_t i = 0; i < verdict.settled; i++)
            {
                applied.push_back(page[i]);
                cursor = page[i];
            }
            break;
        }
    }

    Writers &writers;
    SettledPosition settled;
    MaybePosition cursor;
    std::vector<Position> applied;
};

} // namespace

TEST(SettledPosition, NeverSkipsAnEventOfAnyInterleaving)
{
    for (std::uint64_t seed = 0; seed < 4000; seed++)
    {
        Writers writers(seed, seed % 3 == 0 ? 0 : 1);
        Reader reader(writers);
        std::mt19937_64 random(seed);
        for (int step = 0; step < 40; step++)
        {
            writers.act();
            reader.step(1 + random() % 6);
            // What is settled is applied completely: everything visible at or below the cursor was read.
            for (const Position position : reader.cursor ? writers.snapshot() : std::set<Position>())
            {
                if (position <= *reader.cursor)
                {
                    ASSERT_TRUE(std::binary_search(reader.applied.begin(), reader.applied.end(), position))
                        << "seed " << seed << ", position " << position << " appeared below " << *reader.cursor;
                }
            }
        }
        writers.end_all();
        for (int step = 0; step < 200 && reader.applied.size() < writers.snapshot().size(); step++)
            reader.step(5);
        const std::set<Position> all = writers.snapshot();
        ASSERT_EQ(reader.applied, std::vector<Position>(all.begin(), all.end())) << "seed " << seed;
    }
}

TEST(SettledPosition, SettlesWithoutReadingWhenNobodyTails)
{
    for (std::uint64_t seed = 0; seed < 2000; seed++)
    {
        Writers writers(seed, 1);
        SettledPosition settled;
        std::map<Position, std::set<Position>> seen; // edge -> what a later snapshot showed at or below it
        for (int step = 0; step < 40; step++)
        {
            writers.act();
            settled.settle_unread(writers);
            const MaybePosition edge = settled.edge();
            if (!edge)
                continue;
            std::set<Position> visible = writers.snapshot();
            visible.erase(visible.upper_bound(*edge), visible.end());
            seen.try_emplace(*edge, visible);
        }
        writers.end_all();
        for (const auto &[edge, shown] : seen)
        {
            std::set<Position> now = writers.snapshot();
            now.erase(now.upper_bound(edge), now.end());
            ASSERT_EQ(now, shown) << "seed " << seed << ", edge " << edge;
        }
    }
}

namespace
{

// A witness whose answers a test sets: everyone has ended, or only those who are named.
struct Fixed final : Witness
{
    Position last_drawn() override { return high; }
    void announce(Position) override {}
    std::vector<Holder> holders() override { return held; }
    bool ended(const Holder &holder) override { return over || gone.contains(holder.transaction); }

    Position high = 0;
    std::vector<Holder> held;
    std::set<std::uint32_t> gone;
    bool over = false;
};

} // namespace

TEST(SettledPosition, ARunWithoutHolesNeedsNoLookup)
{
    Fixed witness;
    SettledPosition settled(5);
    const std::vector<Position> page{6, 7, 8};
    EXPECT_EQ(settled.judge(page, true, witness).settled, 3u);
    EXPECT_EQ(settled.edge(), 8);
    EXPECT_EQ(settled.lookups(), 0);
}

TEST(SettledPosition, WithNothingAppliedTheFirstEventFollowsAHole)
{
    Fixed witness;
    witness.high = 9;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition settled;
    const std::vector<Position> page{1, 2};
    EXPECT_EQ(settled.judge(page, true, witness).settled, 0u);
    ASSERT_TRUE(settled.pending());
    EXPECT_EQ(settled.pending()->high, 9);
    EXPECT_EQ(settled.pending()->hole, std::nullopt);
}

TEST(SettledPosition, BeforeTheFirstEventTheHoleHasNoLeftEdge)
{
    Fixed witness;
    witness.high = 9;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition empty;
    EXPECT_EQ(empty.judge({}, true, witness).settled, 0u);
    ASSERT_TRUE(empty.pending());
    EXPECT_EQ(empty.pending()->hole, std::nullopt);
    SettledPosition unread;
    unread.settle_unread(witness);
    ASSERT_TRUE(unread.pending());
    EXPECT_EQ(unread.pending()->hole, std::nullopt);
}

TEST(SettledPosition, AWriterBlocksOnlyWhatLiesAfterItsHole)
{
    Fixed witness;
    witness.high = 9;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition settled(3);
    const std::vector<Position> page{4, 5, 7, 8};
    EXPECT_EQ(settled.judge(page, true, witness).settled, 2u);
    EXPECT_EQ(settled.edge(), 5);
    EXPECT_EQ(settled.pending()->hole, 6);
    settled.refresh(witness);
    EXPECT_TRUE(settled.pending());
    witness.over = true;
    settled.refresh(witness);
    EXPECT_FALSE(settled.pending());
    const std::vector<Position> rest{7, 8};
    EXPECT_EQ(settled.judge(rest, true, witness).settled, 2u);
    EXPECT_EQ(settled.edge(), 9);
}

TEST(SettledPosition, AHoleThatFillsWhileItsMarkPendsIsAppliedAtOnce)
{
    Fixed witness;
    witness.high = 5;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition settled(3);
    const std::vector<Position> before{5};
    EXPECT_EQ(settled.judge(before, true, witness).settled, 0u);
    const std::vector<Position> after{4, 5};
    EXPECT_EQ(settled.judge(after, true, witness).settled, 2u);
    EXPECT_FALSE(settled.pending());
}

TEST(SettledPosition, AHoleWaitsForThoseWhoWereOpenWhenItWasSeenAndForNobodyElse)
{
    // Writer 1 is open at 2 for long. Meanwhile 4 is rolled back, and then writer 2 draws 6 and stays open too.
    Fixed witness;
    witness.high = 3;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition settled(1);
    EXPECT_EQ(settled.judge(std::vector<Position>{3}, true, witness).settled, 0u);
    witness.high = 5;
    const std::vector<Position> seen{3, 5};
    for (int test = 0; test < SettledPosition::tests_before_another; test++)
    {
        settled.refresh(witness);
        EXPECT_EQ(settled.judge(seen, true, witness).settled, 0u);
    }
    EXPECT_EQ(settled.lookups(), 2);
    witness.high = 7;
    witness.held.push_back(Holder{2, 2, 0});
    const std::vector<Position> later{3, 5, 7};
    for (int test = 0; test < 3 * SettledPosition::tests_before_another; test++)
    {
        settled.refresh(witness);
        EXPECT_EQ(settled.judge(later, true, witness).settled, 0u);
    }
    EXPECT_EQ(settled.lookups(), 3);
    EXPECT_EQ(settled.pending()->hole, 2);
    EXPECT_EQ(settled.pending()->holders.size(), 1u);

    witness.gone = {1};
    settled.refresh(witness);
    EXPECT_EQ(settled.judge(later, true, witness).settled, 2u) << "4 is dead, whatever writer 2 does";
    EXPECT_EQ(settled.edge(), 5);
    EXPECT_EQ(settled.pending()->hole, 6);
    witness.gone = {1, 2};
    settled.refresh(witness);
    EXPECT_EQ(settled.judge(std::vector<Position>{7}, true, witness).settled, 1u);
}

TEST(SettledPosition, ManyShortWritersBesideALongOneMakeFewMarks)
{
    Fixed witness;
    SettledPosition settled(1);
    std::vector<Position> visible;
    Position next = 3;
    for (std::uint32_t writer = 10; writer < 3000; writer++)
    {
        visible.push_back(next); // every other number was rolled back
        next += 2;
        witness.high = next;
        witness.held = {Holder{1, 1, 0}, Holder{2, writer, 0}};
        witness.gone.insert(writer - 2);
        settled.refresh(witness);
        ASSERT_EQ(settled.judge(visible, true, witness).settled, 0u);
    }
    EXPECT_LE(settled.lookups(), 3000 / SettledPosition::tests_before_another + 2);
    witness.gone.insert(2998);
    witness.held = {Holder{1, 1, 0}, Holder{2, 2999, 0}};
    settled.refresh(witness);
    witness.gone.insert(1);
    settled.refresh(witness);
    // All but what came during the last tests.
    EXPECT_GE(settled.judge(visible, true, witness).settled,
              visible.size() - std::size_t{2} * SettledPosition::tests_before_another - 4);
}

TEST(SettledPosition, MarksByTimeAreProvedInTheirOrder)
{
    // Without a sequence each mark has a deadline of its own: none may be dropped in favour of a younger one for ever.
    struct Clock final : Witness
    {
        Position last_drawn() override { return high; }
        void announce(Position) override {}
        std::vector<Holder> holders() override { return {Holder{0, 0, now + 50}}; }
        bool ended(const Holder &holder) override { return now >= holder.deadline; }
        Position high = 0;
        std::int64_t now = 0;
    } clock;
    SettledPosition settled(1);
    std::vector<Position> visible;
    for (; clock.now < 1000; clock.now++)
    {
        clock.high = 3 + 2 * clock.now;
        visible.push_back(clock.high);
        settled.refresh(clock);
        const auto verdict = settled.judge(visible, true, clock);
        visible.erase(visible.begin(), visible.begin() + static_cast<std::ptrdiff_t>(verdict.settled));
        ASSERT_LE(visible.size(), 70u) << "at " << clock.now;
    }
}

TEST(SettledPosition, ALookupCountsForTheBatchThatItSettled)
{
    Fixed witness;
    witness.high = 7;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition settled(1);
    EXPECT_EQ(settled.judge(std::vector<Position>{2, 4}, true, witness).settled, 1u);
    EXPECT_EQ(settled.lookups_of_batch(), 0) << "2 needed none";
    witness.over = true;
    settled.refresh(witness);
    EXPECT_EQ(settled.judge(std::vector<Position>{4, 9}, true, witness).settled, 1u);
    EXPECT_EQ(settled.lookups_of_batch(), 1);
    EXPECT_EQ(settled.lookups(), 2);
}

TEST(SettledPosition, WhatAnotherSessionHasAppliedIsNoDeadHole)
{
    Fixed witness;
    witness.high = 9;
    SettledPosition settled(3);
    settled.settle_up_to(7);
    EXPECT_EQ(settled.judge(std::vector<Position>{8, 9}, true, witness).settled, 2u);
    EXPECT_EQ(settled.edge(), 9);
    EXPECT_TRUE(settled.dead_holes().empty());
    EXPECT_EQ(settled.lookups(), 0);
    settled.settle_up_to(5);
    EXPECT_EQ(settled.edge(), 9);
}

TEST(SettledPosition, WhatFollowsAProvedHoleDirectlyIsSettledWithIt)
{
    // 5 was rolled back before the mark was taken; 6 was drawn after it, and 7 belongs to somebody who is open.
    Fixed witness;
    witness.high = 5;
    witness.held = {Holder{1, 1, 0}};
    SettledPosition settled(1);
    EXPECT_EQ(settled.judge(std::vector<Position>{3, 4}, true, witness).settled, 0u);
    witness.high = 8;
    witness.held = {Holder{2, 2, 0}};
    witness.gone = {1};
    settled.refresh(witness);
    EXPECT_EQ(settled.judge(std::vector<Position>{3, 4, 6, 8}, true, witness).settled, 3u);
    EXPECT_EQ(settled.edge(), 6);
    EXPECT_EQ(settled.pending()->hole, 7);
}
