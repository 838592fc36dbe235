// What turns a page of events into changes of one generation's states: a function that is called, or a spec that is folded natively.
//
// Fold runs select(), has the states loaded that it names, and runs apply(). Both may be stopped by an error at any event; what was
// applied before that event stays, of the event itself nothing does.
#pragma once

#include "pg/memory.hpp"
#include "query/shared_work.hpp"
#include "query/state_cache.hpp"
#include "source/event_reader.hpp"

namespace query
{

// How far a pass over a page has got.
struct PassOverPage
{
    std::size_t at = 0; // the event in hand: an error is its
    std::int64_t applied = 0;
    bool left = false; // before the end, since the worker is wanted elsewhere
};

class PageUpdater
{
public:
    PageUpdater(const Generation &generation_, StateCache &cache_, InstanceShare share_);
    virtual ~PageUpdater() = default;
    PageUpdater(const PageUpdater &) = delete;
    PageUpdater &operator=(const PageUpdater &) = delete;

    // Finds the events after `cursor` that concern the generation, and the entries that they may change. With `complete`, where a
    // state that is not in the cache does not exist, the entries need not be named.
    virtual void select(const source::EventPage &page, const MaybePosition &cursor, bool complete,
                        PassOverPage &pass) = 0;
    // Of the last select(): whether any event concerns the generation, the index of the first, and the entries, repeated or not.
    virtual bool empty() const = 0;
    virtual std::size_t first() const = 0;
    std::span<StateCache::Entry *const> entries() const { return selected_entries; }

    // Applies the selected events in order.
    virtual void apply(const source::EventPage &page, PassOverPage &pass) = 0;

    // After an error in select() or apply(): nothing that they left half done is used again.
    virtual void recover() {}

    // A spec's aliases lead from events to instances. They are looked up between select() and the loading of the states, adding to
    // entries(); written with the states; and forgotten with everything else that was not committed. `complete`: what is not in
    // memory does not exist.
    virtual void load_references(bool complete) { static_cast<void>(complete); }
    virtual void write() {}
    virtual void written(bool keep) { static_cast<void>(keep); }
    virtual void forget() {}
    virtual bool dirty() const { return false; }
    virtual std::size_t bytes() const { return 0; }
    // Of a fold that has everything in memory: the aliases of an instance, and the instance of an alias.
    virtual std::vector<std::string> aliases_of(std::string_view) const { return {}; }
    virtual std::optional<std::string> instance_of(const std::string &) const { return std::nullopt; }

    // The updater as it stands now is the one that the generation was defined with (its definition hash was compared).
    virtual void accept() {}
    // True if it still is, down to its catalog row. Needs a transaction.
    virtual bool unchanged() const { return true; }

    // Before each page, and after it.
    void begin_page(SharedWork &work);
    void end_page() { page_context.reset(); }

protected:
    bool wanted(const EventValues &event) const;

    const Generation &generation;
    StateCache &cache;
    InstanceShare share;          // the instances that are folded here
    SharedWork *shared = nullptr; // of the page
    std::vector<StateCache::Entry *> selected_entries;
    pg::OwnedContext page_context;  // what lives for a page
    pg::OwnedContext event_context; // what lives for an event

private:
    std::unordered_set<std::string_view> types; // none: all
};

} // namespace query
