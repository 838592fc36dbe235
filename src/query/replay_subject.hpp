// A generation that is to be folded afresh, with its source, and what the tables have of it.
#pragma once

#include "query/catalog.hpp"
#include "query/generation.hpp"
#include "query/state_cache.hpp"
#include "source/event_source.hpp"

namespace query
{

struct ReplaySubject
{
    Generation generation;
    source::EventSource source;
};

// What needs a CatalogScope: all of these.

// The generations of a query that have states, by their ids, and its source. Throws if the source cannot be read.
std::vector<ReplaySubject> replay_subjects(const QueryRow &query);

// Locks what is read: the event table, and the tables of states and aliases in this mode.
void lock_for_replay(const ReplaySubject &subject, LOCKMODE states);
// For a snapshot from before the locks: throws 40001 if one of the tables was dropped since, or rewritten and would look empty.
void require_not_rewritten(const ReplaySubject &subject);

// Why the generation cannot be folded afresh: its updater was replaced, a right is missing, its rebuild is split ..
std::optional<pg::Error> replay_fault(const ReplaySubject &subject);

// The positions of its dead letters under the active snapshot.
std::set<Position> dead_letters_of(int32 generation_id);

// The row that the table of states has for an instance.
struct StoredState
{
    std::string document; // as StateCache::fill() takes it
    Position position = 0;
};

// Reads the states of a generation under the active snapshot, as the owner of its table.
class StoredStates
{
public:
    explicit StoredStates(const Generation &generation);

    std::optional<StoredState> find(std::string_view id);
    // Up to a thousand rows in the order of the ids, from the one after `id` on. f(id, state).
    using Row = std::function<void(std::string_view id, StoredState state)>;
    std::optional<std::string> after(const std::optional<std::string> &id, const Row &f);
    // As many ids as are asked for, chosen at random.
    std::vector<std::string> sample(int count);

private:
    template <class F>
    auto as_owner(F &&f) -> decltype(f());

    const Generation &generation;
    pg::Statement find_statement;
    pg::Statement first_statement;
    pg::Statement next_statement;
    std::string sample_query;
};

// A document as jsonb.
Datum document_datum(const std::string &document);
// Whether two documents are the same to their last digit, however they are laid out.
bool same_document(const std::string &a, const std::string &b);
// The document of an entry that exists.
std::string document_of(const StateCache &cache, const StateCache::Entry &entry);

} // namespace query
