// The floor of a guarded source: no event may be inserted at or below it any more. What workers know about it, in shared memory.
//
// Positions of a guarded source need not be drawn by the transaction that inserts them. The proof of settled_position.hpp is
// kept up by a trigger (position_guard.hpp) that does what nextval() does, take the sequence's lock, and then refuses what lies
// at or below the floor. Take any mark (H, holders), and a transaction T that inserts an event at p <= H, drawn or not:
//  - T took the lock before the holders were collected: it is one of them, or has ended and is visible to later snapshots.
//  - T took it afterwards. H was announced here before the holders were collected, and T looks here after it took the lock, so
//    it finds a floor of at least H and is refused.
// So F1 holds for every event that is committed at or below H, and the proof with it. The order matters on both sides: H
// announced after the holders were collected, or the floor looked up before the lock, and a T in between is missed by both.
//    The floor that a transaction finds is its floor to the end: whatever mark is taken later has it as a holder. So a number
// that it draws itself is never refused: it is drawn after the floor was found, and no H is above what was drawn until then.
//    A run of events without holes is settled without a mark. Its positions are taken, and unique (create_source sees to it). An
// event that was read may be deleted later, which frees its position: so what was settled is announced before it is applied, and
// compared with at every insert of a number that was drawn before. And an event does not move: only the transaction that inserted
// it can change its position.
//
// A transaction that drew numbers before the trigger saw it has the lock already, and may find a floor above its own numbers
// though the mark waits for it. The holders that were collected last are shown here, each with H of the last mark that was taken
// without it, which is its floor: every later mark has waited, and will wait, for it.
//
// Nothing is known here after a start of the server. Then the stored checkpoints are the floor: nobody has taken a mark yet, and
// nobody who could still commit has been passed by.
#pragma once

#include "pg/guard.hpp"
#include "source/event_source.hpp"
#include "source/settled_position.hpp"

namespace source
{

// A mark is about to be taken by the tail worker. Throws if there is no shared memory or no room in it.
void announce_mark(int32 source_id, Position high);

// Who holds that mark up.
void announce_holders(int32 source_id, std::span<const Holder> holders);

// A mark is about to be taken by a session. Throws as announce_mark() does.
void raise_floor(int32 source_id, Position high);

// Somebody is about to apply what is settled up to there. Throws as announce_mark() does.
void announce_passed(int32 source_id, Position settled);

// For the tail worker, when it takes up a source: what other numbers than these have left is forgotten, and the stored checkpoints
// are the least. Reads the catalog.
void begin_floor(const EventSource &source);

// The sequence went back: the queries that had applied its old numbers have failed.
void forget_floor(int32 source_id) noexcept;

// What somebody has settled, as far as that is known here.
MaybePosition passed_of(int32 source_id) noexcept;

// The floor for the transaction of this session, which holds the sequence's lock; `since_earlier`: it took the lock before now.
// Empty: nothing is known.
MaybePosition floor_of(int32 source_id, bool since_earlier) noexcept;

// The highest position that a query of the source has applied for good, now; reads the catalog.
MaybePosition stored_floor(int32 source_id);

} // namespace source
