// What each worker is folding, in memory that outlives a crash of the server: so that an updater that brings the server down is known
// by name, and fails instead of doing it again for ever.
//
// Shared memory is made anew after a crash. This is a mapping that the postmaster makes once and all its children inherit; where the
// postmaster ends with the crash (restart_after_crash = off), it leaves a file to the next one. A worker notes its generation and event
// with plain stores. It takes the note back when it is done, and also when it is told to go because another process has crashed
// (SIGQUIT). So a note that is found after a crash is that of the process that died: nobody else comes under suspicion, has to wait
// or runs alone, whatever the reason of the crash was.
//
// A worker that ends by itself in the middle of a fold (FATAL, a signal that the updater sent) leaves its note too.
//
// The tail worker counts what was left, in readmodel_catalog.attempt, before it gives anybody a lane (query/attempt.hpp).
#pragma once

#include "pg/postgres.hpp"
#include "source/position.hpp"

namespace worker
{

class InHand
{
public:
    // While it lives, this worker folds, or writes, this generation. Nothing in a session. Does not nest.
    explicit InHand(int32 generation_id) noexcept;
    ~InHand();
    InHand(const InHand &) = delete;
    InHand &operator=(const InHand &) = delete;

    // The event in hand.
    static void at(source::Position position) noexcept
    {
        if (own)
        {
            own->position = position;
            own->since = now();
            own->at_event = true;
        }
    }

    // SIGTERM came while the event was folded; it may have been the updater's doing.
    static void interrupted(int32 generation_id, source::Position position) noexcept;

    // A note, as its worker writes it.
    struct Note
    {
        volatile int state; // free, working, or left
        pid_t pid;          // of the worker
        Oid database;
        volatile int32 generation_id; // 0: nothing in hand
        volatile int64 position;
        volatile int64 since; // seconds of a clock that only runs
        volatile bool at_event;
        bool crashed; // left: the server did with it
    };

private:
    friend void begin_notes(Oid database) noexcept;
    friend bool end_notes() noexcept;
    friend void drop_note() noexcept;
    // Coarse: this is asked for with every event.
    static int64 now() noexcept
    {
        timespec time;
        (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
        return time.tv_sec;
    }
    static Note *own; // of this process

    friend std::optional<struct EventInHand> event_in_hand(pid_t worker) noexcept;
};

// In the postmaster, whenever shared memory is made: what was in hand then was left.
void make_notes() noexcept;

// A worker's beginning and its end, with the lock of the shared memory held.
void begin_notes(Oid database) noexcept;
bool end_notes() noexcept; // true: something was left in hand

// In a signal handler: the process is told to go, and it is not its own fault.
void drop_note() noexcept;

// Breaks off the fold of an event of this generation, wherever one is under way in this database: who wants the table of its states would
// wait for an updater that may never end. The worker takes it for an error that may pass.
void break_off_folds(int32 generation_id) noexcept;

// The call of an updater, or the evaluation of a key, that a worker is in.
struct EventInHand
{
    int32 generation_id;
    source::Position position;
    int64 seconds; // for how long
};
std::optional<EventInHand> event_in_hand(pid_t worker) noexcept;

// What somebody has left in hand in this database.
struct LeftInHand
{
    int note;
    int32 generation_id;
    source::MaybePosition position;
    bool crashed;
};
std::vector<LeftInHand> left_in_hand(Oid database);

// It is counted.
void forget_note(int note) noexcept;

} // namespace worker
