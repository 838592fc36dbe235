// The states that a lane holds in memory for one generation, by instance id.
#pragma once

#include "pg/guard.hpp"
#include "query/generation.hpp"

namespace query
{

// An instance id as bytes: text as it is, uuid as its 16 bytes, bigint as its 8.
std::string_view id_bytes(KeyType type, Datum key);
// The Datum of such bytes, allocated in CurrentMemoryContext where it is by reference.
Datum id_datum(KeyType type, std::string_view bytes);

struct CachedState
{
    std::string document;  // a plain jsonb value with its header; empty: no such instance
    Position position = 0; // of the event that changed it last
    bool known = false;    // it was looked up, or cannot exist
    bool stored = false;   // the table has a row for it
    bool dirty = false;

    bool exists() const { return !document.empty(); }
};

class StateCache
{
public:
    using Map = std::unordered_map<std::string, CachedState>;
    using Entry = Map::value_type;

    // The entry of an id, made (not known yet) if there is none. Entries stay where they are until clear().
    Entry &at(std::string_view id);

    // Puts a new document in (empty: deletes the instance) and marks the entry for the next flush.
    void change(Entry &entry, std::string_view document, Position position);

    // Takes over what the table holds.
    void fill(Entry &entry, std::string_view document, Position position);

    size_t bytes() const { return used; }
    size_t size() const { return map.size(); }
    const std::vector<Entry *> &dirty_entries() const { return dirty; }
    // How many instances the table will have more once the dirty entries are written.
    std::int64_t instance_change() const;
    void flushed(); // all dirty entries are as the table has them
    void clear();

private:
    CachedState &replace(Entry &entry, std::string_view document, Position position);

    Map map;
    std::vector<Entry *> dirty;
    size_t used = 0;
    std::string lookup;
};

} // namespace query
