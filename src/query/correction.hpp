// Changing states of a generation beside its lane: what a replay made takes the place of what is stored.
//
// The checkpoint's row is locked before anything is read and stays locked to the end of the transaction, so that nobody moves it
// meanwhile. Its revision is raised: a lane that has the old states in memory fails at its next compare-and-set, forgets them, and
// begins again. Relations are locked before (lock_for_replay), as everywhere.
#pragma once

#include "query/replay_subject.hpp"

namespace query
{

class PageUpdater;

// Needs a CatalogScope, and a LatestSnapshot for what reads.
class Correction
{
public:
    enum class Change
    {
        none,
        changed,
        made,
        deleted,
    };

    // Locks the checkpoint. Throws 40001 if the generation is gone, 55000 if its rebuild is split.
    explicit Correction(const ReplaySubject &subject);

    const MaybePosition &checkpoint() const { return position; }

    // Stores the instance as the replay has it.
    Change store(const StateCache &replayed, const StateCache::Entry &entry);
    // The aliases that stand for the instance, stored or replayed, are stored as the replay has them. Returns how many were changed.
    int store_aliases_of(const PageUpdater &replayed, const std::string &instance);
    // All aliases are stored as the replay has them.
    void store_aliases(PageUpdater &replayed);

    // What was changed counts, and lanes must forget what they know. `events`: applied beyond what the checkpoint says.
    void finish(int64 events);

private:
    template <class F>
    auto as_owner(F &&f) -> decltype(f());

    const Generation &generation;
    MaybePosition position;
    StoredStates stored;
    pg::Statement upsert_statement;
    pg::Statement delete_statement;
    int64 instances = 0; // more of them
};

} // namespace query
