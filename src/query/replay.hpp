// Folding afresh: a generation's definition over the events of its source, in memory, from the first event on.
//
// Nothing is read from the tables of states and aliases, and nothing is written. The user's code runs as in a worker: as the query's
// owner in a security-restricted context, with the captured surroundings, inside a read-only subtransaction. The share says which
// instances are kept; the aliases of all of them are (query/share.hpp).
//
//     LogReplay replay(generation, source, share, dead_letters, most_bytes);
//     if (replay.run(checkpoint) == LogReplay::End::too_large) ..  // too many instances for the memory: take smaller shares
//     for (const StateCache::Entry *entry : replay.states().dirty_entries()) ..
#pragma once

#include "query/page_updater.hpp"

namespace query
{

class Replay
{
public:
    // An event that could not be folded. Everything before it is, of the event itself nothing.
    struct Failure
    {
        Position position;
        pg::PgError error;
        bool lasting; // another try would meet it again: with on_error = skip, workers pass over such an event
    };
    // Told of each event (its index in the page) that concerned an instance of the share, with those instances, once it is applied.
    using Seen = std::function<void(std::size_t index, std::span<StateCache::Entry *const> entries)>;

    // `limited`: updater_timeout holds.
    Replay(const Generation &generation, InstanceShare share, bool limited);
    Replay(const Replay &) = delete;
    Replay &operator=(const Replay &) = delete;

    // Folds the events of the page after `cursor`. With `seen` one by one, which is slower.
    std::optional<Failure> fold(const source::EventPage &page, const MaybePosition &cursor, const Seen &seen = {});

    // Finds only which instances the events name: for a share that collects them.
    std::optional<Failure> find(const source::EventPage &page);

    StateCache &states() { return cache; }
    // Its aliases, all of them in memory. Nobody but the writer of a whole table of aliases may have them written.
    PageUpdater &aliases() { return *updater; }

    // The updater's catalog row is compared with what accept_updater() saw.
    void accept_updater() { updater->accept(); }
    bool updater_unchanged() const { return updater->unchanged(); }

private:
    template <class F>
    std::optional<pg::PgError> guarded(F &&body);
    Failure failure_at(Position position, pg::PgError error);
    std::optional<Failure> fold_page(const source::EventPage &page, const MaybePosition &cursor);
    std::optional<Failure> fold_singly(const source::EventPage &page, const MaybePosition &cursor, const Seen &seen);

    const Generation &generation;
    StateCache cache;
    std::unique_ptr<PageUpdater> updater;
    SharedWork work;
    source::PageContent single;
    int limit;              // ms for one event; 0: none
    bool timed_out = false; // the last error was the limit's
};

// Throws the failure's error with the event's position in its context.
[[noreturn]] void raise_failure(const Replay::Failure &failure);

// A replay of a source's log.
class LogReplay
{
public:
    // What becomes of an event that could not be folded.
    enum class After
    {
        raise,     // its error is raised
        leave_out, // the replay goes on behind it
        stop,      // the replay is of no further use
    };
    using OnFailure = std::function<After(const Replay::Failure &)>;
    // An event that concerned an instance of the share, once it is applied.
    using Seen = std::function<void(const EventValues &event, std::span<StateCache::Entry *const> entries)>;

    // Throws 40001 if the definition is not that of the generation any more. `left_out`: the positions of events that are passed over. `most_bytes`: what may be held in memory; 0: there is no limit.
    LogReplay(const Generation &generation, const source::EventSource &source, InstanceShare share,
              std::set<Position> left_out, std::size_t most_bytes = 0);

    // Further ones, behind what was reached.
    void leave_out(std::set<Position> positions) { left_out.merge(positions); }

    enum class End
    {
        reached,
        stopped,
        too_large, // it would hold more than it may, and is of no further use
    };
    // Goes on to `up_to` under the active snapshot; with nothing, it does nothing. Needs an SPI connection. Without `on_failure` an
    // event's error is raised. Throws if the updater was replaced meanwhile.
    End run(const MaybePosition &up_to, const OnFailure &on_failure = {}, const Seen &seen = {});

    Replay &fold() { return replay; }
    StateCache &states() { return replay.states(); }

private:
    pg::Error changed_concurrently() const;
    const source::EventPage &without_left_out(const source::EventPage &page);

    const Generation &generation;
    Replay replay;
    source::EventReader reader;
    std::set<Position> left_out;
    std::size_t most_bytes;
    MaybePosition cursor;
    source::PageContent kept;
    std::optional<source::EventPage> kept_page;
};

// Whether the instances of the generation can be folded apart from each other: not where a state decides about aliases.
bool divisible(const Generation &generation);

// The shares into which to divide all instances of a generation, so that each should fit into readmodel.state_cache.
std::vector<InstanceShare> shares_of_all(const Generation &generation);
// Two halves of a share.
std::array<InstanceShare, 2> halves(const InstanceShare &share);
// The most that a replay should hold in memory; 0: no limit, since its instances cannot be divided.
std::size_t most_replay_bytes(const Generation &generation, const InstanceShare &share);

} // namespace query
