#include "query/page_updater.hpp"

namespace query
{

PageUpdater::PageUpdater(const Generation &generation_, StateCache &cache_, InstanceShare share_)
    : generation(generation_),
      cache(cache_),
      share(share_),
      page_context(TopMemoryContext, "pg_readmodel page"),
      event_context(TopMemoryContext, "pg_readmodel event")
{
    if (generation.definition.event_types)
        for (const std::string &type : *generation.definition.event_types)
            types.insert(type);
}

void PageUpdater::begin_page(SharedWork &work)
{
    shared = &work;
    selected_entries.clear();
    page_context.reset();
    event_context.reset();
}

bool PageUpdater::wanted(const EventValues &event) const
{
    if (!generation.definition.event_types)
        return true;
    if (event.nulls[column_type])
        return false;
    const text *const type = DatumGetTextPP(event.values[column_type]); // toasted where the table is made so
    return types.contains({VARDATA_ANY(type), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(type))});
}

} // namespace query
