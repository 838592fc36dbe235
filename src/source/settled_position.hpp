// The settled position: the highest position at or below which no transaction can still commit an event.
//
// Writers draw positions from a sequence and commit in any order, so the highest visible position proves nothing about the
// numbers below it. This class proves it by asking who still could write, and never waits and never blocks a writer.
//
// Facts it rests on (PostgreSQL 15, commands/sequence.c and storage/lmgr/lock.c):
//  F1. nextval() takes RowExclusiveLock on the sequence, owned by the top-level transaction, before it hands out a number. The
//      lock is kept until the transaction has ended and is visible to new snapshots (CommitTransaction: ProcArrayEndTransaction
//      comes before the locks are released). ROLLBACK TO SAVEPOINT keeps it, PREPARE TRANSACTION hands it to the prepared one.
//  F2. The numbers of one sequence only go up: what is drawn after H was read is greater than H.
// The contract with the user: a position is drawn in the transaction that inserts it.
//
// Proof. Let a mark be (H, holders): H, the last number drawn, is read first, then the holders of the sequence's lock. Take any
// number p <= H. By F2 it was drawn before H was read, by a transaction T that by F1 held the lock at that time. When the holders
// were collected, either T had ended and was visible to snapshots taken from then on, or it held the lock still and is one of the
// holders. So once all holders have ended, T has ended and is visible to every snapshot that is taken afterwards. A p that such a
// snapshot does not show can never appear: it is a dead hole. Therefore H is settled under any snapshot that is taken after the
// holders were seen to have ended.
//    The order matters twice. Holders before H: a writer could take the lock and draw in between, and be missed. Snapshot before
// the end of the holders is seen: what they committed in between would be missing from the page, and look dead.
//
// Several marks can be pending: while a long writer holds up the first one, later ones keep account of the holes that came up since,
// so that these wait for those who were open when they were seen, and not for whoever begins before the long writer ends. Each mark
// has a proof of its own, so any of them may be dropped at any time. A holder of a mark that is still open when a younger one is
// taken is a holder of the younger one too: the marks' holders are nested, and an older mark whose holders are all that is left of
// the younger one's is dropped. So there are about as many marks as there are long writers.
//
// Runs without holes need no mark: if every number up to the edge is settled and the next ones are visible under one snapshot,
// they are settled as well, since no other transaction can commit an event at a position that is taken.
//
// The contract cannot be checked, so the holes that were declared dead last are remembered: an event that turns up in one was not
// drawn in the transaction that inserted it, and the owner of this object makes that known instead of hiding it.
//
// Where positions are not always drawn in the inserting transaction (settle => 'guarded'), a trigger keeps F1 true of every event
// that is committed at or below H: position_floor.hpp has that half of the proof, and is why H is announced before the holders are
// collected. With settle => 'gap_timeout' there is no proof.
// This file knows nothing of PostgreSQL: the Witness does, and tests bring their own.
#pragma once

#include "source/position.hpp"

#include <compare>
#include <cstddef>
#include <deque>
#include <span>
#include <vector>

namespace source
{

// Somebody who may still commit an event at or below H. `backend` and `transaction` name a virtual transaction; with a
// `deadline` (microseconds, the Witness's clock) it is a time to pass instead.
struct Holder
{
    std::int32_t backend = 0;
    std::uint32_t transaction = 0;
    std::int64_t deadline = 0;

    // The check takes the zero in what the compiler makes of this for a pointer.
    friend auto operator<=>(const Holder &, const Holder &) = default; // NOLINT(modernize-use-nullptr)
};

// What the proof asks of the server.
class Witness
{
public:
    virtual ~Witness() = default;
    // H: the last number drawn, one less than the sequence's start if none was.
    virtual Position last_drawn() = 0;
    // Makes H known before the holders are collected: for those who insert positions of their own.
    virtual void announce(Position high) = 0;
    // Who holds the sequence's lock now, the caller's own transaction left out.
    virtual std::vector<Holder> holders() = 0;
    // True when the holder has ended and new snapshots see what it did.
    virtual bool ended(const Holder &holder) = 0;
};

class SettledPosition
{
public:
    struct Mark
    {
        MaybePosition hole;          // the first position that is missing; empty before the first event is settled
        Position high;               // H
        std::vector<Holder> holders; // who has not ended yet, sorted
        int tests = 0;
    };
    static constexpr std::size_t most_marks = 16;

    // So often a mark is tested before another is taken beside it. Looking into the lock table costs much more than a test.
    static constexpr int tests_before_another = 8;

    // Positions that were passed over for good, both ends included.
    struct DeadHole
    {
        Position first;
        Position last;
    };
    static constexpr std::size_t most_dead_holes = 1000;

    struct Verdict
    {
        std::size_t settled; // how many of the positions, from the first, may be applied
        bool read_again;     // a mark was proved after the page's snapshot: read it again under a new one
    };

    // `edge`: everything at or below it is known to be settled (a stored checkpoint); empty: nothing is known.
    explicit SettledPosition(MaybePosition edge = std::nullopt) : settled_edge(edge) {}

    // What was concluded of late is not to be trusted; how often it was asked is still counted.
    void begin_again(MaybePosition edge);

    // Tests the pending marks. Call it before the snapshot of the page is taken, in a transaction without an xid.
    void refresh(Witness &witness);

    // A stored checkpoint says that everything at or below it is settled: another session may have got further than this object.
    // Readers take their snapshot after they have seen that checkpoint.
    void settle_up_to(const MaybePosition &checkpoint);

    // Judges a page: the visible positions above some cursor at or below the edge, in order, read under a snapshot that was taken
    // after refresh(). `exhausted`: nothing visible lies above the last one. Takes a mark at the first hole,
    // and another for later ones when it pends for long.
    Verdict judge(std::span<const Position> positions, bool exhausted, Witness &witness);

    // Settles without reading: for a source that nobody tails. Readers take their snapshot after they have seen edge().
    void settle_unread(Witness &witness);

    MaybePosition edge() const { return settled_edge; }
    // The mark that holds up the first hole; nullptr: none is pending.
    const Mark *pending() const { return marks.empty() ? nullptr : &marks.front(); }
    // H of the youngest mark that is pending.
    MaybePosition highest_marked() const { return marks.empty() ? std::nullopt : MaybePosition(marks.back().high); }
    // The dead holes that were passed last, oldest first.
    const std::deque<DeadHole> &dead_holes() const { return dead; }
    // An event has turned up at `position`, and that is known now.
    void forget_hole_of(Position position);
    // How often the lock table was looked into.
    std::int64_t lookups() const { return lookup_count; }
    // What was judged last is applied: how many look-ups that took since this was called last. One that judge() made there and then
    // serves the events after these.
    std::int64_t lookups_of_batch();
    // How many of them no batch has used yet.
    std::int64_t lookups_unused() const { return lookup_count - lookups_accounted_for; }

private:
    bool take_mark(Witness &witness);
    void prove(Position high);
    MaybePosition first_hole() const;
    void raise_edge(Position position);
    void pass_hole(Position up_to);
    void reach_proof();

    MaybePosition settled_edge;
    MaybePosition proven;    // H of a proved mark: settled under snapshots taken from then on
    std::vector<Mark> marks; // that are pending, oldest first: H rises
    std::deque<DeadHole> dead;
    std::int64_t lookup_count = 0;
    std::int64_t lookups_before_judging = 0;
    std::int64_t lookups_accounted_for = 0;
};

} // namespace source
