// The states that a lane holds in memory for one generation, by instance id.
#pragma once

#include "pg/guard.hpp"
#include "query/generation.hpp"
#include "query/state_index.hpp"

#include "fold/updater.hpp"

namespace query
{

// An instance id as bytes: text as it is, uuid as its 16 bytes, bigint as its 8. They are where the key is; a bigint's are in `key` itself.
std::string_view id_bytes(KeyType type, const Datum &key);
// The Datum of such bytes, allocated in CurrentMemoryContext where it is by reference.
Datum id_datum(KeyType type, std::string_view bytes);
// The order of ids in the primary key.
bool id_before(KeyType type, std::string_view a, std::string_view b);

// `exists` says whether there is such an instance. What it holds is in `document`, or in `state` where the cache holds trees.
struct CachedState : fold::Instance
{
    std::string document;  // a plain jsonb value with its header
    Position position = 0; // of the event that changed it last
    bool known = false;    // it was looked up, or cannot exist
    bool stored = false;   // the table has a row for it
    bool dirty = false;
    bool damaged = false;              // what the table has is no state of a tree: somebody has written to it
    std::uint32_t used_at = 0;         // when it was asked for last, in pages
    ItemPointerData tid = {{0, 0}, 0}; // where the table has its row, as of the last look; not valid: nobody knows
    std::pair<const std::string, CachedState> *entry = nullptr; // in the cache
};

// How a cache holds states: documents as a function takes them, or trees that are changed in place and written as documents.
enum class StateForm
{
    documents,
    trees,
};

class StateCache
{
public:
    using Entry = std::pair<const std::string, CachedState>;

    explicit StateCache(StateForm form_) : form(form_) {}
    ~StateCache() { clear(); }
    StateCache(const StateCache &) = delete;
    StateCache &operator=(const StateCache &) = delete;

    // The entry of an id, made (not known yet) if there is none. Entries stay where they are until clear() or evict().
    Entry &at(std::string_view id) { return at(id, Index::hash_of(id)); }
    // The entries of many ids, appended to `found`: sooner than one after the other.
    void at_all(std::span<const std::string_view> ids, std::vector<Entry *> &found);

    // Another page begins.
    void tick() { now++; }

    // Puts a new document in (empty: deletes the instance) and marks the entry for the next flush.
    void change(Entry &entry, std::string_view document, Position position);

    // Of a tree that the updater has changed, or made, or deleted: marks the entry for the next flush.
    void changed(Entry &entry, Position position);
    // What the updater's changes of trees did to their memory.
    void resized(std::ptrdiff_t more) { used += static_cast<std::size_t>(more); }

    // Takes over what the table holds.
    void fill(Entry &entry, std::string_view document, Position position);

    size_t bytes() const { return used + index.bytes(); }
    size_t size() const { return index.size(); }
    // The document of a state that exists, for the table: a tree's is allocated in CurrentMemoryContext.
    Datum document_of(const Entry &entry) const;
    // About how many bytes it has.
    static std::size_t document_size(const Entry &entry)
    {
        return std::max(entry.second.document.size(), entry.second.bytes);
    }
    const std::vector<Entry *> &dirty_entries() const { return dirty; }
    // How many instances the table will have more once the dirty entries are written.
    std::int64_t instance_change() const;
    void flushed(); // all dirty entries are as the table has them
    void clear();
    // Forgets what was not used for longest, until no more than `most` bytes are left. Nothing may be dirty.
    void evict(size_t most);

private:
    using Index = StateIndex<Entry>;

    Entry &at(std::string_view id, std::uint64_t hash);
    void replace(Entry &entry, std::string_view document, Position position);
    void mark(Entry &entry);

    StateForm form;
    Index index;
    std::vector<Entry *> dirty;
    size_t used = 0;
    std::uint32_t now = 0;
    mutable std::string scratch; // of documents that are written
};

} // namespace query
