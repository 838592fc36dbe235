// The generations of a query as they are now, those too of which only the definition hash is remembered: what define_query, activate
// and the like decide by. The caller holds the lock of the query's name, so that only a takeover can change them meanwhile.
#pragma once

#include "query/catalog.hpp"
#include "query/generation.hpp"

namespace query
{

struct KnownGeneration
{
    int32 id = 0;
    int32 number = 0;
    std::string hash;
    Phase phase = Phase::rebuilding;
    Oid state_table = InvalidOid;
    Oid alias_table = InvalidOid;
    bool declined = false;              // by an operator: not to be built again without being told
    std::optional<std::string> failure; // its reason
    std::string ended_at;               // when it was rejected or dropped

    bool has_states() const { return phase != Phase::rejected && phase != Phase::dropped; }
    bool frozen() const { return failure == "definition_changed"; }
};

class KnownGenerations
{
public:
    explicit KnownGenerations(const QueryRow &query);

    // Throws RM006.
    const KnownGeneration &numbered(int32 number) const;
    // nullptr: none has it. One that has states before one that has none, the highest number before others.
    const KnownGeneration *with_hash(const std::string &hash) const;
    const std::vector<KnownGeneration> &all() const { return rows; }

private:
    std::string query_name;
    std::vector<KnownGeneration> rows; // by number
};

// At the commit the workers load the definitions, and break off what they are at for this query.
void announce_stop(const KnownGenerations &known);

// The option on_change as it was given, true for "gate"; nothing: the setting decides.
std::optional<bool> gate_of(const QueryRow &query);

// Throws 55000 if an operator has said no to the definition of this hash, and it was not built again since.
void require_not_declined(const QueryRow &query, const KnownGenerations &known, const std::string &hash);

// How a new generation begins: it waits at the gate if its query says so (nothing: if the setting does) and has been live before.
Phase first_phase(const KnownGenerations &known, const std::optional<bool> &gate);

// Takeovers of the query come before or after this transaction from now on.
void lock_query_row(const QueryRow &query);

// What the generation was defined as, with names resolved now.
Definition load_definition(const QueryRow &query, int32 number);

// Throws 42883 if the definition calls a function that does not exist.
void require_updater(const QueryRow &query, const Definition &definition);

void set_newest(const QueryRow &query, int32 number);
void set_phase(const QueryRow &query, const KnownGeneration &generation, Phase phase);
void clear_failure(const KnownGeneration &generation);

// Gives the states up and remembers the definition hash, as rejected or dropped. The caller has locked the tables with
// AccessExclusiveLock (lock_states()) and is allowed to drop them; throws 2BP01 if other objects depend on them.
void forget_states(const QueryRow &query, const KnownGeneration &generation, Phase phase, bool declined);
void lock_states(const KnownGeneration &generation);

// Deletes what the catalog holds of a query besides its own row. Inside a CatalogScope; the caller has locked the query's row.
void delete_generations(const QueryRow &query);

} // namespace query
