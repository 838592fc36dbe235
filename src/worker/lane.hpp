// A lane: one cursor over one source together with the generations that stand at it.
//
// One loop serves rebuild and tail: read a page of settled events once, fold it into each generation that it concerns, flush states
// and checkpoints in one transaction, and announce only what is committed. Who opens and commits the transactions is the caller's
// matter (a worker, or catch_up in a session):
//
//     begin;  lane.fold_page(..);  lane.flush();  commit;  lane.committed();        tail, catch_up
//     begin;  lane.fold_page(..);  commit;  ..;  begin;  lane.flush();  commit;  lane.committed();   rebuild
//
// After an error and the abort of the transaction: lane.abandon(). Everything is then as it was committed last.
#pragma once

#include "query/fold.hpp"
#include "source/event_reader.hpp"
#include "source/lock_witness.hpp"
#include "worker/rate.hpp"
#include "worker/shared.hpp"

namespace worker
{

// An event that could not be applied, of a query that skips such.
struct PassedOver
{
    query::FoldStop stop;
    std::string digest; // of the event's data, for the log
};

// A generation in a lane.
struct Member
{
    Member(query::Generation generation_, std::optional<query::Share> share_)
        : generation(std::move(generation_)),
          share(share_),
          fold(generation, !(share ? share->position : generation.checkpoint),
               share ? share->instances() : query::InstanceShare())
    {
    }

    query::Generation generation;
    std::optional<query::Share> share; // only these instances of it
    query::Fold fold;
    MaybePosition stored; // the checkpoint as it is committed
    MaybePosition cursor; // what it has been advanced over, in memory
    int64 unflushed_events = 0;
    TimestampTz stored_at = 0;
    TimestampTz current_at = 0; // the last time at which it had applied every event that was visible; 0: not yet
    std::optional<query::FoldStop> stop; // why it stands still since the last page
    std::string digest;                  // of the event that the updater failed on, for the log
    std::vector<PassedOver> passed_over; // events that become dead letters with the next flush
    std::string
        takeover_error;     // why the last attempt at its takeover failed; empty: it did not, or a reader is in the way
    int takeover_tries = 0; // that met a reader of the view, one after the other
    TimestampTz takeover_at = 0; // no try until then
    bool takeover_told = false;  // the status says who is in its way
    bool failed = false;         // its failure is recorded with the next commit
    bool flushing = false;       // its checkpoint is moved with the next commit
    bool reached = false;        // its target, as of what is committed
    MaybePosition target;        // empty: only "nothing more to apply" ends the catch-up
    Rate rate;
    int64 applied = 0; // events, committed by this lane
    int64 batches = 0; // committed by this lane and not counted yet
};

// What to do about its stop, once that is recorded as a failure.
std::string advice_after(const Member &member);

class Lane
{
public:
    explicit Lane(const source::EventSource &event_source);

    // Members are held by pointer: they refer to themselves.
    Member &add(query::Generation generation, std::optional<query::Share> share = std::nullopt);
    void remove(int32 generation_id);
    Member *find(int32 generation_id);
    std::vector<std::unique_ptr<Member>> &members() { return all; }
    bool empty() const { return all.empty(); }

    // The smallest cursor of the members: where the next page starts.
    MaybePosition cursor() const;

    struct Page
    {
        size_t events = 0;       // that every member is past
        bool caught_up = false;  // nothing settled lies unread above the cursor
        bool read_again = false; // what is left of the page was settled after its snapshot was taken
        bool exhausted = true;   // nothing visible lay above it
        bool left = false;       // some member has not folded its part to the end, and nothing is wrong with it
    };

    // Tail: reads what is visible above the cursor, as far as `settled` can prove it now.
    Page fold_settled(source::SettledPosition &settled, source::LockWitness &witness, int limit);
    // Rebuild: reads up to a settled position that was published before this transaction's snapshot.
    Page fold_up_to(const MaybePosition &settled, int limit);

    // Moves the checkpoints and writes the states of all members that have something to write; records failures. With
    // `everything` also checkpoints that moved over nothing of the query's own. Throws LostCheckpoint.
    void flush(bool everything);
    // The next flush writes each member by itself, as after one that was not committed.
    void flush_one_by_one() { one_by_one = true; }
    // After a flush that has written everything: keeps `most` bytes of states, those that were used last.
    void evict(size_t most);
    // The transaction of flush() has committed. `keep`: states stay in memory.
    void committed(bool keep);
    // It has not.
    void abandon();

    // One member's checkpoint was moved by somebody else, or the generation is gone.
    struct LostCheckpoint
    {
        int32 generation_id;
    };

    // Something that the source or a member is built on was changed: load it all again.
    struct SourceChanged
    {
    };

    // The updater was replaced while its batch was folded.
    struct UpdaterChanged
    {
        int32 generation_id;
    };

    // What the owners of all members may read of an error that stopped the lane: the text may be about one owner's states.
    std::string note_of(const pg::Failure &error) const;

    size_t bytes() const;
    // One of the members stands still since the last page.
    bool stopped() const;
    int64 events_read() const { return read_count; }
    source::EventReader &events() { return reader; }

private:
    void fold(const source::EventPage &page, bool caught_up, const MaybePosition &settled);
    void tell_batch(const source::EventPage &page, std::int64_t lookups) const;
    bool left_early() const;
    bool leave_out_undrawn(source::EventPage &page) const;
    void flush_member(Member &member);
    static void blame(Member &member, const pg::PgError &error);

    const source::EventSource &source;
    source::EventReader reader;
    std::vector<std::unique_ptr<Member>> all;
    query::SharedWork shared; // of the page that is folded
    int64 read_count = 0;
    bool reading = false;    // the source, not a generation, is being worked on
    bool one_by_one = false; // the last flush was not committed
};

} // namespace worker
