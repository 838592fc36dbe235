#include "worker/in_hand.hpp"

#include "worker/shared.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern "C"
{
    static void readmodel_save_notes(int, Datum);
}

namespace worker
{

namespace
{

constexpr int most_notes = 256;
constexpr const char *file_name = PG_STAT_TMP_DIR "/pg_readmodel.in_hand";

enum State
{
    state_free,
    state_working,
    state_left,
};

struct Notes
{
    char format[24];
    InHand::Note note[most_notes];
};
constexpr char format[24] = "pg_readmodel in hand 3";

Notes *notes = nullptr;

// Of a fold that SIGTERM has interrupted.
int32 interrupted_generation = 0;
source::Position interrupted_position = 0;

void clear(InHand::Note &note)
{
    note.state = state_free;
    note.generation_id = 0;
    note.at_event = false;
    note.crashed = false;
}

// What a postmaster that did not outlive the crash has left. A file that is no such thing is as good as none.
void load()
{
    const int file = open(file_name, O_RDONLY | PG_BINARY);
    if (file < 0)
        return;
    Notes saved;
    const bool whole = read(file, &saved, sizeof saved) == static_cast<ssize_t>(sizeof saved) &&
                       std::memcmp(saved.format, format, sizeof format) == 0;
    close(file);
    unlink(file_name);
    if (!whole)
        return;
    std::memcpy(static_cast<void *>(notes), &saved, sizeof saved);
}

} // namespace

InHand::Note *InHand::own = nullptr;

InHand::InHand(int32 generation_id) noexcept
{
    if (!own)
        return;
    own->at_event = false;
    own->generation_id = generation_id;
}

InHand::~InHand()
{
    if (own)
        own->generation_id = 0;
}

void InHand::interrupted(int32 generation_id, source::Position position) noexcept
{
    interrupted_generation = generation_id;
    interrupted_position = position;
}

void make_notes() noexcept
{
    if (IsUnderPostmaster)
        return;
    if (!notes)
    {
        void *const memory = mmap(nullptr, sizeof(Notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return; // nobody is ever found out then
        notes = static_cast<Notes *>(memory);
        std::memcpy(notes->format, format, sizeof format);
        if (IsPostmasterEnvironment)
        {
            load();
            on_proc_exit(readmodel_save_notes, 0);
        }
    }
    // All processes are gone.
    for (InHand::Note &note : notes->note)
    {
        if (note.state != state_working)
            continue;
        if (note.generation_id == 0)
        {
            clear(note);
            continue;
        }
        note.state = state_left;
        note.crashed = true;
    }
}

void begin_notes(Oid database) noexcept
{
    if (!notes)
        return;
    for (InHand::Note &note : notes->note)
        if (note.state == state_free)
        {
            clear(note);
            note.pid = MyProcPid;
            note.database = database;
            note.state = state_working;
            InHand::own = &note;
            return;
        }
}

bool end_notes() noexcept
{
    InHand::Note *const note = InHand::own;
    if (!note)
        return false;
    InHand::own = nullptr;
    if (note->generation_id == 0 && interrupted_generation != 0)
    {
        note->generation_id = interrupted_generation;
        note->position = interrupted_position;
        note->at_event = true;
    }
    if (note->generation_id == 0)
    {
        clear(*note);
        return false;
    }
    note->state = state_left;
    return true;
}

void drop_note() noexcept
{
    if (InHand::own)
        InHand::own->generation_id = 0;
}

void break_off_folds(int32 generation_id) noexcept
{
    if (!notes || !shared())
        return;
    const SharedLock lock(LW_SHARED); // a worker that has ended has no note
    for (const InHand::Note &note : notes->note)
        if (note.state == state_working && note.database == MyDatabaseId && note.generation_id == generation_id)
            kill(note.pid, SIGINT);
}

std::optional<EventInHand> event_in_hand(pid_t worker) noexcept
{
    if (!notes)
        return std::nullopt;
    for (const InHand::Note &note : notes->note)
    {
        if (note.pid != worker)
            continue; // before the clock is asked
        const EventInHand event = {note.generation_id, note.position, InHand::now() - note.since};
        if (note.state == state_working && note.pid == worker && note.at_event && event.generation_id != 0)
            return event;
    }
    return std::nullopt;
}

std::vector<LeftInHand> left_in_hand(Oid database)
{
    std::vector<LeftInHand> left;
    if (!notes)
        return left;
    left.reserve(most_notes);
    const SharedLock lock(LW_SHARED);
    for (int i = 0; i < most_notes; i++)
    {
        const InHand::Note &note = notes->note[i];
        if (note.state == state_left && note.database == database)
            left.push_back({i, note.generation_id, note.at_event ? source::MaybePosition(note.position) : std::nullopt,
                            note.crashed});
    }
    return left;
}

void forget_note(int note) noexcept
{
    const SharedLock lock(LW_EXCLUSIVE);
    clear(notes->note[note]);
}

} // namespace worker

extern "C"
{

    // Only what a crash has left behind: at any other end all workers are gone by now, and have said goodbye.
    static void readmodel_save_notes(int, Datum)
    {
        using namespace worker;
        bool any = false;
        for (const InHand::Note &note : notes->note)
            any |=
                (note.state == state_working && note.generation_id != 0) || (note.state == state_left && note.crashed);
        if (!any)
            return;
        const int file = open(file_name, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY, S_IRUSR | S_IWUSR);
        if (file < 0)
            return;
        if (write(file, static_cast<const void *>(notes), sizeof *notes) != static_cast<ssize_t>(sizeof *notes))
            unlink(file_name);
        close(file);
    }

} // extern "C"
