// Folds pages of events into the states of one generation.
//
// A page is folded inside one internal subtransaction that is read-only and runs as the query's owner in a security-restricted
// context with the captured surroundings. It never gets an xid, the updater cannot write, and when it raises, everything that was
// folded before that event is kept: states live in the cache, outside of the subtransaction.
#pragma once

#include "query/page_updater.hpp"
#include "query/state_store.hpp"
#include "source/event_reader.hpp"

namespace query
{

// Why a page could not be folded to its end.
struct FoldStop
{
    enum class Kind
    {
        updater,     // the user's code raised: the generation fails at `position`
        transient,   // try again later
        locked,      // the table of states is locked: try again later
        interrupted, // nothing is wrong: the worker is to end, or to look at changed definitions
    } kind;
    const char *reason; // the code that a failure is recorded under
    Position position;  // of the event that was not applied
    std::string sqlstate;
    std::string message;
    int blocker_pid = 0;
    std::string detail{};     // can quote data, as the message can
    std::string log_detail{}; // does not
    std::string hint{};       // what to do, where that is not what the reason says; neither
    bool skippable = false;   // the event's own fault: with on_error = skip the fold goes on behind it

    // By hand, as a rule: nothing is in the way of the next try, so the first of them in a row is no reason to stand still.
    bool cancelled() const { return kind == Kind::transient && sqlstate == "57014"; }
};

// True for errors that another try may not meet: serialization failures, locks, a cancel, a full disk.
bool is_transient(int sqlstate);

struct FoldResult
{
    int64 events = 0;                  // that were applied
    MaybePosition last;                // the last event of the page that the generation is past, applied or not its own
    std::vector<FoldStop> passed_over; // events that could not be applied, of a query that skips them
    std::optional<FoldStop> stop;      // empty: the whole page
};

class Fold
{
public:
    // `fresh`: the table of states is empty, so that what is not in the cache does not exist.
    // `share`: of the instances.
    Fold(const Generation &generation, bool fresh, InstanceShare share);
    ~Fold();

    // Folds the events of the page after `cursor`. Needs an active snapshot and an SPI connection, in a transaction without an xid
    // in a worker. Throws only when something else than the user's code goes wrong.
    // `shared` has begun this page. `letters`: how many events were passed over that are not stored yet.
    FoldResult fold(const source::EventPage &page, const MaybePosition &cursor, SharedWork &shared,
                    std::size_t letters);

    // Writes what has changed; the caller has moved the checkpoint in this transaction.
    void write();
    // How many instances more there are once it is written.
    std::int64_t instance_change() const { return cache.instance_change(); }
    // The transaction of write() has committed. `keep`: the states stay in memory for the next pages.
    void written(bool keep);
    // Keeps the states that were used last, `most` bytes of them. Everything must be written.
    void evict(size_t most);
    // Forgets everything that was not written.
    void forget();

    bool dirty() const { return !cache.dirty_entries().empty() || updater->dirty(); }
    size_t bytes() const { return cache.bytes() + updater->bytes(); }

    // The updater as it stands now is the one that the generation was defined with (its definition hash was compared).
    void accept_updater() { updater->accept(); }
    // True if the updater's catalog row (not just its text) is the accepted one. Compare it before a fold and again just before
    // its commit. Needs a transaction.
    bool updater_unchanged() const { return updater->unchanged(); }

private:
    FoldResult fold_events(const source::EventPage &page, const MaybePosition &cursor, SharedWork &shared, bool first);
    void load_states();

    const Generation &generation;
    StateCache cache;
    StateStore store;
    std::unique_ptr<PageUpdater> updater;
    bool complete;    // the cache or nothing: an unknown entry cannot be in the table
    const bool alone; // all instances are this fold's
};

} // namespace query
