// The table of states of one generation: reads states into the cache, writes the changed ones back.
#pragma once

#include "pg/spi.hpp"
#include "query/state_cache.hpp"

namespace query
{

// Runs as the owner of the table, in a security-restricted context: its indexes, constraints and triggers are the owner's code.
// Needs an SPI connection.
class StateStore
{
public:
    // `alone`: the table has no row of any instance that is stored here.
    StateStore(const Generation &generation, bool alone);

    // Looks up the entries that are not known yet.
    void load(std::span<StateCache::Entry *const> entries, StateCache &cache);

    // Writes the dirty entries, or throws; each row only forward. The caller has moved the checkpoint in this transaction, so nobody else
    // writes here; he calls cache.flushed() once it has committed.
    void write(const StateCache &cache);

private:
    void upsert(std::span<StateCache::Entry *const> entries, const StateCache &cache);
    void remove(std::span<StateCache::Entry *const> entries);

    std::string name; // in messages
    Oid table;
    Oid owner;
    KeyType key_type;
    pg::Statement load_statement;
    pg::Statement upsert_statement;
    pg::Statement remove_statement;
    bool alone; // it had none, or was empty when this object first wrote to it
};

} // namespace query
