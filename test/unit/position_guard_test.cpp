// The settled position of a guarded source against simulated writers, who insert at positions of their own too. They do as
// position_floor.hpp says, in steps between which anything can happen: lock, find the floor, compare and insert.
//
// Seen to fail: with H announced after the holders were collected (take_mark), with the floor looked up before the lock (go_on),
// without the mark's H (announce), with everybody who drew before taken for a holder (floor_for), and with holders who are let in
// below the marks that do not wait for them (holders).

#include "source/settled_position.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

using source::before;
using source::Holder;
using source::MaybePosition;
using source::Position;
using source::SettledPosition;
using source::Witness;

namespace
{

class GuardedWriters final : public Witness
{
public:
    explicit GuardedWriters(std::uint64_t seed) : random(seed) {}

    void act()
    {
        for (unsigned acts = random() % 4; acts > 0; acts--)
        {
            const unsigned kind = random() % 12;
            if (kind < 3 && open.size() < 5)
                open[next_transaction++];
            else if (!open.empty() && kind < 9)
                go_on(*any_open());
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
    void applied_up_to(const MaybePosition &edge) { raise(floor, edge); }

    Position last_drawn() override
    {
        const Position high = last;
        act();
        return high;
    }

    void announce(Position high) override
    {
        marking = true;
        marked_before = marked;
        raise(marked, high);
        act();
    }

    std::vector<Holder> holders() override
    {
        std::vector<Holder> found;
        for (const auto &[transaction, writer] : open)
            if (writer.locked)
                found.push_back(Holder{1, transaction, 0});
        for (int i = 0; i < 4; i++)
            act();
        std::map<std::uint32_t, MaybePosition> now;
        for (const Holder &holder : found)
            now[holder.transaction] = shown.contains(holder.transaction) ? shown[holder.transaction] : marked_before;
        shown = now;
        marking = false;
        act();
        return found;
    }

    bool ended(const Holder &holder) override
    {
        const bool gone = !open.contains(holder.transaction);
        act();
        return gone;
    }

    int refused = 0;
    int refused_own = 0; // a number that the statement has drawn itself

private:
    struct Writer
    {
        bool locked = false;
        bool since_earlier = false; // it had the lock before its trigger took it
        bool asked = false;         // the trigger has taken the lock
        bool has_floor = false;
        MaybePosition floor;
        std::set<Position> drawn; // and not yet inserted
        std::set<Position> inserted;
        MaybePosition chosen; // about to be inserted
        bool own = false;     // and drawn by the statement that inserts it
    };
    using Open = std::map<std::uint32_t, Writer>;

    static void raise(MaybePosition &shown_position, const MaybePosition &position)
    {
        if (before(shown_position, position))
            shown_position = position;
    }

    Open::iterator any_open()
    {
        auto found = open.begin();
        std::advance(found, static_cast<std::ptrdiff_t>(random() % open.size()));
        return found;
    }

    MaybePosition floor_for(std::uint32_t transaction, bool since_earlier) const
    {
        const auto own = since_earlier && !marking ? shown.find(transaction) : shown.end();
        const MaybePosition of_marks = own == shown.end() ? marked : own->second;
        return before(floor, of_marks) ? of_marks : floor;
    }

    bool taken(Position position) const
    {
        return visible.contains(position) ||
               std::any_of(open.begin(), open.end(),
                           [&](const auto &other) { return other.second.inserted.contains(position); });
    }

    // The transaction's next step.
    void go_on(Open::value_type &entry)
    {
        auto &[transaction, writer] = entry;
        if (!writer.chosen)
        {
            const unsigned kind = random() % 8;
            if (kind >= 6) // ALTER SEQUENCE in a savepoint, and its rollback
            {
                if (!writer.asked && writer.drawn.empty())
                    writer.locked = !writer.locked;
            }
            else if (kind == 0) // nextval() alone
            {
                writer.locked = true;
                writer.drawn.insert(++last);
            }
            else if (kind <= 2 && writer.has_floor) // the statement draws what it inserts
            {
                writer.chosen = ++last;
                writer.own = true;
            }
            else if (kind <= 3 && !writer.drawn.empty())
                writer.chosen = *writer.drawn.begin();
            else
                writer.chosen = std::max<Position>(0, last - 6 + static_cast<Position>(random() % 10));
        }
        else if (!writer.asked)
        {
            writer.since_earlier = writer.locked;
            writer.locked = writer.asked = true;
        }
        else if (!writer.has_floor)
        {
            writer.floor = floor_for(transaction, writer.since_earlier);
            writer.has_floor = true;
        }
        else
            insert(writer);
    }

    void insert(Writer &writer)
    {
        const Position position = *writer.chosen;
        writer.chosen.reset();
        const bool own = std::exchange(writer.own, false);
        writer.drawn.erase(position);
        if (writer.floor && position <= *writer.floor)
        {
            refused++;
            refused_own += own;
        }
        else if (!taken(position))
        {
            writer.inserted.insert(position);
            last = std::max(last, position);
        }
    }

    void end(Open::iterator transaction, bool commit)
    {
        if (commit)
            visible.insert(transaction->second.inserted.begin(), transaction->second.inserted.end());
        open.erase(transaction);
    }

    std::mt19937_64 random;
    Position last = 0;
    std::uint32_t next_transaction = 1;
    Open open;
    std::set<Position> visible;

    // What is known to all.
    MaybePosition floor;
    MaybePosition marked;
    MaybePosition marked_before;
    bool marking = false;
    std::map<std::uint32_t, MaybePosition> shown; // holders, and the last mark that does not wait for them
};

} // namespace

TEST(PositionGuard, NoEventAppearsBelowWhatWasAppliedWhereverItIsInserted)
{
    int refused = 0;
    int inserted = 0;
    for (std::uint64_t seed = 0; seed < 6000; seed++)
    {
        GuardedWriters writers(seed);
        SettledPosition settled;
        MaybePosition cursor;
        std::vector<Position> applied;
        std::mt19937_64 random(seed);
        const auto step = [&](std::size_t limit)
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
            for (int i = 0; i < 3; i++)
                writers.act(); // the transaction commits, before anybody is told
            writers.applied_up_to(settled.edge());
        };
        for (int i = 0; i < 40; i++)
        {
            writers.act();
            step(1 + random() % 6);
            std::set<Position> passed = writers.snapshot();
            passed.erase(cursor ? passed.upper_bound(*cursor) : passed.begin(), passed.end());
            ASSERT_EQ(applied, std::vector<Position>(passed.begin(), passed.end()))
                << "seed " << seed << ", an event appeared below " << cursor.value_or(0);
        }
        writers.end_all();
        for (int i = 0; i < 200 && applied.size() < writers.snapshot().size(); i++)
            step(5);
        const std::set<Position> all = writers.snapshot();
        ASSERT_EQ(applied, std::vector<Position>(all.begin(), all.end())) << "seed " << seed;
        refused += writers.refused;
        inserted += static_cast<int>(all.size());
        ASSERT_EQ(writers.refused_own, 0) << "seed " << seed << ", a number that was drawn after the floor was found";
    }
    // The guard has had something to do, and has let most of them pass.
    EXPECT_GT(refused, 1000);
    EXPECT_GT(inserted, refused);
}
