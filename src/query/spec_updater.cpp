#include "query/spec_updater.hpp"

#include "pg/progress_watch.hpp"
#include "query/event_document.hpp"
#include "query/parse_spec.hpp"
#include "worker/worker_process.hpp"

namespace query
{

namespace
{

// An id can be as long as a text.
std::string shown_id(const std::string &id)
{
    std::size_t kept = 200;
    if (id.size() <= kept)
        return pg::shown(id);
    while ((static_cast<unsigned char>(id[kept]) & 0xC0) == 0x80) // within a character of UTF-8
        kept--;
    return pg::shown(id.substr(0, kept) + "..");
}

// Runs f() with the fold library's errors as PostgreSQL's.
template <class F>
void told_as_postgres(F &&f)
{
    try
    {
        f();
    }
    catch (const fold::UpdaterError &error)
    {
        const std::string place = "At " + error.pointer + " of the spec";
        throw pg::Error(error.limit ? ERRCODE_PROGRAM_LIMIT_EXCEEDED : ERRCODE_INVALID_PARAMETER_VALUE, error.what())
            .detail(place + (error.instance ? ", for instance " + shown_id(*error.instance) : "") + ".")
            .log_detail(place + "."); // an id is data
    }
    catch (const fold::LimitError &error)
    {
        throw pg::Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, error.what());
    }
}

// A look at the clock would cost as much as a field.
constexpr std::size_t looks_every = 64;

// How many events ahead a state is asked for.
constexpr std::size_t prefetched = 4;

std::string_view view_of(Datum datum)
{
    const text *const value = DatumGetTextPP(datum);
    return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

fold::View text_view(std::string_view text)
{
    fold::View view;
    view.kind = fold::Kind::text;
    view.text = text;
    return view;
}

} // namespace

SpecUpdater::SpecUpdater(const Generation &generation_, StateCache &cache_, InstanceShare share_)
    : PageUpdater(generation_, cache_, share_),
      spec(parse_spec(*generation_.definition.spec)),
      updater(spec),
      reads{spec.reads_data(), spec.reads_metadata(), spec.reads_stream(), spec.reads_occurred_at()}
{
    if (spec.uses_aliases())
        aliases.emplace(generation_, share_.number);
}

// Raises as PostgreSQL does.
void SpecUpdater::unpack(const EventValues &values, std::size_t index, fold::Event &event) const
{
    event.reader = &reader;
    event.position = DatumGetInt64(values.values[column_position]);
    if (!values.nulls[column_type])
        event.type = text_view(view_of(values.values[column_type]));
    if (reads.data && !values.nulls[column_data])
        event.data = root_of(shared->plain(index, column_data));
    if (reads.metadata && !values.nulls[column_metadata])
        event.metadata = root_of(shared->plain(index, column_metadata));
    if (reads.stream && !values.nulls[column_stream])
        event.stream = text_view(view_of(values.values[column_stream]));
    if (reads.occurred_at && !values.nulls[column_occurred_at])
        event.occurred_at = text_view(rfc3339(DatumGetTimestampTz(values.values[column_occurred_at])));
}

void SpecUpdater::select(const source::EventPage &page, const MaybePosition &cursor, bool complete, PassOverPage &pass)
{
    selected.clear();
    names.clear();
    all_in_cache = complete;
    try
    {
        unpack_events(page, cursor, pass);
    }
    catch (const pg::PgError &)
    {
        const std::size_t stop = pass.at;
        collect_keys(page, pass); // the events before it are applied
        pass.at = stop;
        throw;
    }
    collect_keys(page, pass);
}

void SpecUpdater::unpack_events(const source::EventPage &page, const MaybePosition &cursor, PassOverPage &pass)
{
    const pg::InContext in(page_context.get());
    const std::span<const Position> positions = page.positions();
    pg::call(
        [&]
        {
            for (pass.at = 0; pass.at < positions.size(); pass.at++)
            {
                if (cursor && positions[pass.at] <= *cursor)
                    continue;
                const EventValues &event = page.event(pass.at);
                if (!wanted(event))
                    continue;
                // Unpacking large ones takes its time.
                CHECK_FOR_INTERRUPTS();
                pg::ProgressWatch::done();
                Selected &one = selected.emplace_back();
                one.index = pass.at;
                unpack(event, pass.at, one.event);
            }
        });
}

// Keeps the events that have a key, and names their instances.
void SpecUpdater::collect_keys(const source::EventPage &page, PassOverPage &pass)
{
    class KeyCollector : public fold::Collector
    {
    public:
        explicit KeyCollector(SpecUpdater &owner_) : owner(owner_) {}
        void id(std::string_view id) override
        {
            const bool owned = owner.share.owns(id);
            if (owned)
            {
                owner.id_text.append(id);
                owner.id_ends.push_back(owner.id_text.size());
            }
            named++;
            found |= owned || owner.aliases; // a lane keeps the aliases of the instances of others, too
        }
        void alias(std::string_view alias) override
        {
            owner.names.emplace_back(alias);
            found = true;
        }

        SpecUpdater &owner;
        bool found = false;
        std::size_t named = 0; // ids, here or elsewhere
    } collector(*this);

    id_text.clear();
    id_ends.clear();
    std::vector<std::size_t> first_ids; // of each event that is kept
    first_ids.reserve(selected.size());
    const auto finish = [&]
    {
        selected.resize(first_ids.size());
        std::vector<std::string_view> ids;
        ids.reserve(id_ends.size());
        std::size_t begin = 0;
        for (const std::size_t end : id_ends)
        {
            ids.emplace_back(id_text.data() + begin, end - begin);
            begin = end;
        }
        cache.at_all(ids, selected_entries);
        for (std::size_t i = 0; i < selected.size(); i++)
        {
            const std::size_t end = i + 1 < selected.size() ? first_ids[i + 1] : ids.size();
            selected[i].entry = first_ids[i] < end ? selected_entries[first_ids[i]] : nullptr;
        }
    };
    try
    {
        told_as_postgres(
            [&]
            {
                for (const Selected &one : selected)
                {
                    pass.at = one.index;
                    collector.found = false;
                    collector.named = 0;
                    const std::size_t first = id_ends.size();
                    const std::size_t first_name = names.size();
                    updater.collect(one.event, collector);
                    if (collector.found)
                    {
                        Selected &kept = selected[first_ids.size()];
                        if (&kept != &one)
                            kept = one;
                        kept.alone = collector.named == 1 && id_ends.size() == first + 1 && names.size() == first_name;
                        first_ids.push_back(first);
                    }
                }
            });
    }
    catch (...)
    {
        finish(); // the events before it are applied
        throw;
    }
    finish();
    pass.at = page.size();
}

void SpecUpdater::load_references(bool complete)
{
    if (!aliases)
        return;
    aliases->load(names, complete);
    for (const std::string &name : names)
        if (const std::optional<std::string_view> id = aliases->find(name); id && share.owns(*id))
            selected_entries.push_back(&cache.at(*id));
}

void SpecUpdater::apply(const source::EventPage &page, PassOverPage &pass)
{
    told_as_postgres(
        [&]
        {
            for (std::size_t i = 0; i < selected.size(); i++)
            {
                const Selected &one = selected[i];
                // The states are anywhere in memory: they are asked for ahead of time.
                if (i + prefetched < selected.size() && selected[i + prefetched].entry)
                    selected[i + prefetched].entry->second.state.prefetch();
                hint = one.entry;
                pass.at = one.index;
                if (i % looks_every == 0 && worker::WorkerProcess::should_leave_page())
                {
                    pass.left = true;
                    return;
                }
                pg::check_for_interrupts();
                position = page.positions()[one.index];
                concerned = counted = false;
                fold::Known known;
                if (one.alone)
                    known = {instance(one.entry->first), one.entry->first};
                try
                {
                    updater.apply(one.event, *this, changes, known);
                }
                catch (...)
                {
                    cache.resized(changes.bytes); // of what has grown and was emptied again
                    throw;
                }
                for (fold::Instance *const changed : changes.instances)
                    cache.changed(*static_cast<CachedState *>(changed)->entry, position);
                cache.resized(changes.bytes);
                pass.applied += counted ? 1 : 0;
                pg::ProgressWatch::done();
            }
        });
}

fold::Instance *SpecUpdater::instance(std::string_view id)
{
    // Of the shares that an event concerns, the one with its first instance counts it.
    const bool owned = share.owns(id);
    const bool first = !std::exchange(concerned, true);
    counted |= owned && first;
    if (!owned)
        return nullptr;
    CachedState &state = hint && hint->first == id ? hint->second : cache.at(id).second;
    // The lane is stale, which its compare-and-set will tell, or somebody has set the checkpoint back.
    if (unlikely(state.exists && state.position >= position))
        throw pg::Error(ERRCODE_DATA_CORRUPTED, "the event at position " + std::to_string(position) +
                                                    " is in a state already, which is at position " +
                                                    std::to_string(state.position))
            .hint("The checkpoint or the states were changed by hand. Rebuild the query.");
    if (unlikely(state.damaged))
        throw pg::Error(ERRCODE_DATA_CORRUPTED,
                        "the state of instance " + pg::shown(std::string(id)) + " is not one that a spec can have made")
            .hint("The states were changed by hand. Rebuild the query.");
    READMODEL_CHECK(state.known || all_in_cache);
    state.known = true;
    return &state;
}

std::string SpecUpdater::id_of(const fold::Instance &instance) const
{
    return static_cast<const CachedState &>(instance).entry->first;
}

std::optional<std::string> SpecUpdater::alias(std::string_view alias)
{
    const std::optional<std::string_view> id = aliases->find(alias);
    if (!id)
        return std::nullopt;
    return std::string(*id);
}

void SpecUpdater::remember(std::string_view alias, std::string_view id)
{
    aliases->remember(alias, id);
}

void SpecUpdater::forget_aliases_of(std::string_view id)
{
    if (aliases)
        aliases->forget_aliases_of(id);
}

std::vector<std::string> SpecUpdater::aliases_of(std::string_view instance) const
{
    return aliases ? aliases->of(instance) : std::vector<std::string>();
}

std::optional<std::string> SpecUpdater::instance_of(const std::string &alias) const
{
    const std::optional<std::string_view> id = aliases ? aliases->find(alias) : std::nullopt;
    return id ? std::optional<std::string>(*id) : std::nullopt;
}

void SpecUpdater::write()
{
    if (aliases)
        aliases->write();
}

void SpecUpdater::written(bool)
{
    if (aliases)
        aliases->written();
}

void SpecUpdater::forget()
{
    if (aliases)
        aliases->forget();
}

} // namespace query
