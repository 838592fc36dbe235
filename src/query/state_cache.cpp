#include "query/state_cache.hpp"

#include "query/jsonb_encoder.hpp"
#include "query/jsonb_reader.hpp"

namespace query
{

namespace
{

// What an entry costs beside its id and document: its place in the index, malloc's own words.
constexpr size_t entry_overhead = sizeof(StateCache::Entry) + 64;

// All of an entry. An empty string has a capacity, too.
size_t bytes_of(const StateCache::Entry &entry)
{
    return entry_overhead + entry.first.size() + entry.second.document.capacity() + entry.second.bytes;
}

} // namespace

std::string_view id_bytes(KeyType type, const Datum &key)
{
    switch (type)
    {
    case KeyType::text:
        return {VARDATA_ANY(DatumGetPointer(key)), static_cast<size_t>(VARSIZE_ANY_EXHDR(DatumGetPointer(key)))};
    case KeyType::uuid:
        return {reinterpret_cast<const char *>(DatumGetUUIDP(key)->data), UUID_LEN};
    case KeyType::bigint:
        break;
    }
    static_assert(FLOAT8PASSBYVAL && sizeof(Datum) == sizeof(int64));
    return {reinterpret_cast<const char *>(&key), sizeof key};
}

Datum id_datum(KeyType type, std::string_view bytes)
{
    switch (type)
    {
    case KeyType::text:
        return PointerGetDatum(cstring_to_text_with_len(bytes.data(), static_cast<int>(bytes.size())));
    case KeyType::uuid:
    {
        auto *const uuid = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
        std::memcpy(uuid->data, bytes.data(), UUID_LEN);
        return UUIDPGetDatum(uuid);
    }
    case KeyType::bigint:
        break;
    }
    int64 value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return Int64GetDatum(value);
}

bool id_before(KeyType type, std::string_view a, std::string_view b)
{
    if (type != KeyType::bigint)
        return a < b;
    std::array<int64, 2> values;
    std::memcpy(&values[0], a.data(), sizeof values[0]);
    std::memcpy(&values[1], b.data(), sizeof values[1]);
    return values[0] < values[1];
}

StateCache::Entry &StateCache::at(std::string_view id, std::uint64_t hash)
{
    Entry *entry = index.find(id, hash);
    if (!entry)
    {
        auto made = std::make_unique<Entry>(std::piecewise_construct, std::forward_as_tuple(id), std::tuple());
        index.add(made.get(), hash);
        entry = made.release();
        entry->second.entry = entry;
        used += bytes_of(*entry);
    }
    entry->second.used_at = now;
    return *entry;
}

void StateCache::at_all(std::span<const std::string_view> ids, std::vector<Entry *> &found)
{
    // As many as the processor can have under way, and its cache hold.
    constexpr std::size_t group = 64;
    std::array<std::uint64_t, group> hashes;
    for (std::size_t from = 0; from < ids.size(); from += group)
    {
        const std::span<const std::string_view> some = ids.subspan(from, std::min(group, ids.size() - from));
        for (std::size_t i = 0; i < some.size(); i++)
        {
            hashes[i] = Index::hash_of(some[i]);
            index.prefetch(hashes[i]);
        }
        for (std::size_t i = 0; i < some.size(); i++)
            if (const Entry *const entry = index.candidate(hashes[i]))
                __builtin_prefetch(entry);
        for (std::size_t i = 0; i < some.size(); i++)
            found.push_back(&at(some[i], hashes[i]));
    }
}

void StateCache::replace(Entry &entry, std::string_view document, Position position)
{
    CachedState &state = entry.second;
    used -= state.document.capacity();
    state.document.assign(document);
    used += state.document.capacity();
    state.exists = !document.empty();
    state.position = position;
}

void StateCache::mark(Entry &entry)
{
    if (!entry.second.dirty)
    {
        entry.second.dirty = true;
        dirty.push_back(&entry);
    }
}

void StateCache::change(Entry &entry, std::string_view document, Position position)
{
    replace(entry, document, position);
    mark(entry);
}

void StateCache::changed(Entry &entry, Position position)
{
    entry.second.position = position;
    mark(entry);
}

void StateCache::fill(Entry &entry, std::string_view document, Position position)
{
    CachedState &state = entry.second;
    if (form == StateForm::documents)
        replace(entry, document, position);
    else
    {
        try
        {
            state.state = JsonbReader().copy(root_of(reinterpret_cast<const Jsonb *>(document.data())));
            state.damaged = !state.state.is(fold::Kind::object);
        }
        catch (const fold::LimitError &)
        {
            state.damaged = true;
        }
        if (state.damaged)
            state.state = fold::Value();
        used -= std::exchange(state.bytes, state.state.bytes());
        used += state.bytes;
        state.exists = true;
        state.position = position;
    }
    state.known = state.stored = true;
}

Datum StateCache::document_of(const Entry &entry) const
{
    if (form == StateForm::documents)
        return PointerGetDatum(entry.second.document.data());
    scratch.clear();
    try
    {
        encode_jsonb(entry.second.state, scratch);
    }
    catch (const fold::LimitError &error)
    {
        throw pg::Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, error.what());
    }
    void *const document = palloc(scratch.size());
    std::memcpy(document, scratch.data(), scratch.size());
    return PointerGetDatum(document);
}

std::int64_t StateCache::instance_change() const
{
    std::int64_t change = 0;
    for (const Entry *const entry : dirty)
        change += static_cast<int>(entry->second.exists) - static_cast<int>(entry->second.stored);
    return change;
}

void StateCache::flushed()
{
    for (Entry *const entry : dirty)
    {
        entry->second.dirty = false;
        entry->second.stored = entry->second.exists;
    }
    dirty.clear();
}

void StateCache::evict(size_t most)
{
    READMODEL_CHECK(dirty.empty());
#ifdef READMODEL_ASSERT
    size_t sum = 0;
    index.each([&](const Entry &entry) { sum += bytes_of(entry); });
    READMODEL_CHECK(sum == used);
#endif
    if (used <= most)
        return;
    // As if all were of one size. How long ago they were used is compared, since `now` begins anew some day.
    std::vector<std::uint32_t> ages;
    ages.reserve(index.size());
    index.each([&](const Entry &entry) { ages.push_back(now - entry.second.used_at); });
    const size_t kept =
        static_cast<size_t>(static_cast<double>(ages.size()) * static_cast<double>(most) / static_cast<double>(used));
    const auto border = ages.begin() + static_cast<std::ptrdiff_t>(std::min(kept, ages.size() - 1));
    std::nth_element(ages.begin(), border, ages.end());
    const std::uint32_t oldest = *border;
    for (const bool also_oldest : {false, true})
        index.keep_if(
            [&](Entry &entry)
            {
                const std::uint32_t age = now - entry.second.used_at;
                if (age < oldest || (age == oldest && !also_oldest) || used <= most)
                    return true;
                used -= bytes_of(entry);
                delete &entry;
                return false;
            });
    // What was freed lies in pieces between what is kept, and would not all be used again.
    malloc_trim(0);
}

void StateCache::clear()
{
    index.each([](Entry &entry) { delete &entry; });
    index.clear();
    dirty.clear();
    used = 0;
}

} // namespace query
