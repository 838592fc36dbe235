#include "source/source_watch.hpp"

#include "pg/guard.hpp"

namespace source
{

namespace
{

// Of this process. Invalidation callbacks may not do more than compare.
Oid *watched = nullptr;
size_t watched_count = 0;
bool loading = true;
bool changed = true;

void on_relation_change(Datum, Oid relation)
{
    if (loading || !OidIsValid(relation))
        changed = true;
    for (size_t i = 0; i < watched_count && !changed; i++)
        changed = watched[i] == relation;
}

// CACHE, INCREMENT and CYCLE stand in pg_sequence; the message names a hash, so any sequence counts.
void on_sequence_change(Datum, int, uint32)
{
    changed = true;
}

} // namespace

void begin_loading()
{
    static bool registered = false;
    if (!registered)
    {
        pg::call(
            []
            {
                CacheRegisterRelcacheCallback(on_relation_change, 0);
                CacheRegisterSyscacheCallback(SEQRELID, on_sequence_change, 0);
            });
        registered = true;
    }
    loading = true;
    changed = false;
}

void watch(std::span<const Oid> relations)
{
    watched_count = 0;
    const size_t bytes = std::max<size_t>(relations.size(), 1) * sizeof(Oid);
    pg::call(
        [&] {
            watched =
                static_cast<Oid *>(watched ? repalloc(watched, bytes) : MemoryContextAlloc(TopMemoryContext, bytes));
        });
    std::copy(relations.begin(), relations.end(), watched);
    watched_count = relations.size();
    loading = false;
}

bool watched_changed() noexcept
{
    return changed;
}

bool watched_changed_now()
{
    pg::call([] { AcceptInvalidationMessages(); });
    return changed;
}

} // namespace source
