#include "query/fold.hpp"

#include "pg/locks.hpp"
#include "pg/progress_watch.hpp"
#include "pg/transaction.hpp"
#include "query/event_document.hpp"
#include "settings.hpp"
#include "worker/worker_process.hpp"

namespace query
{

// Trivially destructible: an error jumps over vectors of these only inside pg::call, which unwinds by exception.
struct Fold::Selected
{
    size_t index; // in the page
    size_t first; // in the list of entries
    size_t count;
};

namespace
{

constexpr int transient_classes[] = {
    MAKE_SQLSTATE('4', '0', '0', '0', '0'), // transaction rollback: serialization failure, deadlock
    MAKE_SQLSTATE('5', '3', '0', '0', '0'), // insufficient resources, but see below
    MAKE_SQLSTATE('5', '7', '0', '0', '0'), // operator intervention: cancelled, shutting down
    MAKE_SQLSTATE('5', '8', '0', '0', '0'), // system error: a disk
};

// Moves when the catalog row of any function or type changes.
uint64 function_change_count = 0;

void on_function_change(Datum, int, uint32)
{
    function_change_count++;
}

uint64 function_changes()
{
    static bool registered = false;
    if (!registered)
    {
        pg::call(
            []
            {
                CacheRegisterSyscacheCallback(PROCOID, on_function_change, 0);
                CacheRegisterSyscacheCallback(TYPEOID, on_function_change, 0);
            });
        registered = true;
    }
    return function_change_count;
}

std::string_view text_view(Datum datum)
{
    return {VARDATA_ANY(DatumGetPointer(datum)), static_cast<size_t>(VARSIZE_ANY_EXHDR(DatumGetPointer(datum)))};
}

} // namespace

bool is_transient(int sqlstate)
{
    // Memory that one event's fold cannot get is not there at the next try either.
    if (sqlstate == ERRCODE_OUT_OF_MEMORY)
        return false;
    if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
        return true;
    return std::find(std::begin(transient_classes), std::end(transient_classes), ERRCODE_TO_CATEGORY(sqlstate)) !=
           std::end(transient_classes);
}

Fold::Fold(const Generation &generation_, bool fresh)
    : generation(generation_),
      store(generation_),
      complete(fresh),
      page_context(TopMemoryContext, "pg_readmodel page"),
      event_context(TopMemoryContext, "pg_readmodel event")
{
    if (generation.definition.event_types)
        for (const std::string &type : *generation.definition.event_types)
            types.insert(type);
}

Fold::~Fold() = default;

Fold::UpdaterRow Fold::updater_row(Oid updater)
{
    return pg::call(
        [&]
        {
            UpdaterRow row;
            HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(updater));
            if (HeapTupleIsValid(tuple))
            {
                row.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
                row.tid = tuple->t_self;
                ReleaseSysCache(tuple);
            }
            return row;
        });
}

void Fold::accept_updater()
{
    pg::call([] { AcceptInvalidationMessages(); });
    accepted = updater_row(generation.definition.updater_oid);
}

bool Fold::updater_unchanged() const
{
    pg::call([] { AcceptInvalidationMessages(); });
    const UpdaterRow now = updater_row(generation.definition.updater_oid);
    return TransactionIdIsValid(now.xmin) && now.xmin == accepted.xmin &&
           ItemPointerEquals(const_cast<ItemPointer>(&now.tid), const_cast<ItemPointer>(&accepted.tid));
}

bool Fold::wanted(const EventValues &event) const
{
    if (!generation.definition.event_types)
        return true;
    if (event.nulls[column_type])
        return false;
    const text *const type = DatumGetTextPP(event.values[column_type]); // toasted where the table is made so
    return types.contains(text_view(PointerGetDatum(type)));
}

// Finds the events that concern the generation and the entries of their instances. `at` is the event in hand, for the error.
void Fold::select(const source::EventPage &page, const MaybePosition &cursor, std::vector<Selected> &selected,
                  size_t &at)
{
    const Definition &definition = generation.definition;
    const uint64 changes = function_changes();
    if (!key || key_compiled_at != changes)
    {
        key.reset();
        key.emplace(definition.key_expression, definition.key_type, definition.key_is_array);
        key_compiled_at = changes;
    }
    const std::span<const Position> positions = page.positions();
    pg::call(
        [&]
        {
            for (at = 0; at < positions.size(); at++)
            {
                if (cursor && positions[at] <= *cursor)
                    continue;
                const EventValues &event = page.event(at);
                if (!wanted(event))
                    continue;
                MemoryContextReset(event_context.get());
                MemoryContext const previous = MemoryContextSwitchTo(event_context.get());
                const KeyExpression::Keys keys = key->evaluate(event);
                MemoryContextSwitchTo(previous);
                if (keys.count == 0)
                    continue;
                selected.push_back({at, entries.size(), static_cast<size_t>(keys.count)});
                for (int i = 0; i < keys.count; i++)
                    entries.push_back(&cache.at(id_bytes(definition.key_type, keys.values[i])));
                CHECK_FOR_INTERRUPTS();
            }
        });
}

// Calls the updater for each selected event, in order.
void Fold::apply(const source::EventPage &page, std::vector<Selected> &selected, size_t &at, int64 &applied, bool &left)
{
    FmgrInfo updater;
    pg::call([&] { fmgr_info_cxt(generation.definition.updater_oid, &updater, page_context.get()); });
    const Oid collation = InvalidOid;
    pg::call(
        [&]
        {
            LOCAL_FCINFO(call, 2);
            InitFunctionCallInfoData(*call, &updater, 2, collation, nullptr, nullptr);
            for (const Selected &event : selected)
            {
                at = event.index;
                if (worker::WorkerProcess::should_leave_page())
                {
                    left = true;
                    return;
                }
                CHECK_FOR_INTERRUPTS();
                MemoryContextReset(event_context.get());
                MemoryContext const previous = MemoryContextSwitchTo(event_context.get());
                const Datum document = event_document(page.event(event.index));
                const Position position = page.positions()[event.index];

                // All instances of the event change, or none: results are kept aside until the last one is there.
                struct varlena **const results =
                    static_cast<struct varlena **>(palloc0(event.count * sizeof(struct varlena *)));
                for (size_t i = 0; i < event.count; i++)
                {
                    const CachedState &state = entries[event.first + i]->second;
                    // The lane is stale, which its compare-and-set will tell, or somebody has set the checkpoint back.
                    if (unlikely(state.exists() && state.position >= position))
                        ereport(ERROR,
                                (errcode(ERRCODE_DATA_CORRUPTED),
                                 errmsg("the event at position %lld is in a state already, which is at position %lld",
                                        static_cast<long long>(position), static_cast<long long>(state.position)),
                                 errhint("The checkpoint or the states were changed by hand. Rebuild the query.")));
                    call->args[0].isnull = !state.exists();
                    call->args[0].value = state.exists() ? PointerGetDatum(state.document.data()) : 0;
                    call->args[1].isnull = false;
                    call->args[1].value = document;
                    call->isnull = false;
                    const Datum result = FunctionCallInvoke(call);
                    results[i] = call->isnull ? nullptr : PG_DETOAST_DATUM(result);
                }
                for (size_t i = 0; i < event.count; i++)
                {
                    StateCache::Entry &entry = *entries[event.first + i];
                    const std::string_view result =
                        results[i] ? std::string_view(reinterpret_cast<const char *>(results[i]), VARSIZE(results[i]))
                                   : std::string_view();
                    if (result != entry.second.document)
                        cache.change(entry, result, position);
                }
                MemoryContextSwitchTo(previous);
                applied++;
                pg::ProgressWatch::done();
            }
        });
}

FoldResult Fold::fold(const source::EventPage &page, const MaybePosition &cursor)
{
    FoldResult result;
    if (page.empty())
        return result;

    std::vector<Selected> selected;
    entries.clear();
    page_context.reset();
    event_context.reset();
    size_t at = 0;

    // An event's fold that outlasts either limit is an updater error; rebuild_timeout is the limit on no progress at all.
    const bool per_event = settings::updater_timeout > 0 &&
                           (settings::rebuild_timeout == 0 || settings::updater_timeout <= settings::rebuild_timeout);
    const int limit = per_event ? settings::updater_timeout : settings::rebuild_timeout;

    std::optional<pg::PgError> error;
    const auto guarded = [&](auto &&body)
    {
        error = pg::attempt(true,
                            [&]
                            {
                                const pg::AsUser owner(generation.owner, true);
                                pg::pin_surroundings(generation.definition.search_path);
                                const pg::InContext in(page_context.get());
                                const worker::WorkerProcess::UserCode user_code;
                                const pg::ProgressWatch watch(limit);
                                body();
                            });
    };

    bool left = false; // before the end of the page, since the worker is wanted elsewhere
    guarded([&] { select(page, cursor, selected, at); });
    const std::optional<pg::PgError> key_error = error;
    if (error)
        key.reset(); // it was left in the middle
    const size_t key_stop = at;

    if (!selected.empty())
    {
        // Locked before anything is read from it: who drops or alters it waits for this transaction, and this one for nobody.
        const pg::LockAttempt attempt = pg::try_lock(generation.state_table, RowExclusiveLock);
        if (attempt != pg::LockAttempt::locked)
        {
            result.stop = FoldStop{
                attempt == pg::LockAttempt::busy ? FoldStop::Kind::locked : FoldStop::Kind::transient,
                "",
                page.positions()[selected.front().index],
                "55P03",
                attempt == pg::LockAttempt::busy ? "the table of states is locked" : "the table of states was dropped",
                attempt == pg::LockAttempt::busy ? pg::blocker_of(generation.state_table, RowExclusiveLock) : 0};
            return result;
        }
        std::vector<StateCache::Entry *> unknown;
        for (StateCache::Entry *const entry : entries)
            if (!entry->second.known)
            {
                if (complete)
                    entry->second.known = true;
                else
                    unknown.push_back(entry);
            }
        std::sort(unknown.begin(), unknown.end());
        unknown.erase(std::unique(unknown.begin(), unknown.end()), unknown.end());
        store.load(unknown, cache);

        at = selected.front().index; // nothing is applied yet, whatever may raise before the first event
        guarded([&] { apply(page, selected, at, result.events, left); });
        if (!error && !left)
        {
            error = key_error;
            at = key_stop;
        }
    }

    if (!error && !left)
    {
        result.last = page.last();
        return result;
    }
    const Position position = page.positions()[std::min(at, page.size() - 1)];
    if (at > 0)
        result.last = page.positions()[at - 1];
    if (left)
    {
        result.stop = FoldStop{FoldStop::Kind::interrupted, "", position, "", "", 0};
        return result;
    }
    FoldStop stop{
        FoldStop::Kind::updater, "updater_error", position, error->sqlstate_text(), std::string(error->message()), 0};
    if (error->sqlstate() == ERRCODE_QUERY_CANCELED && worker::WorkerProcess::terminating())
        stop.kind = FoldStop::Kind::interrupted;
    else if (error->sqlstate() == ERRCODE_QUERY_CANCELED && pg::ProgressWatch::expired())
    {
        stop.reason = per_event ? "updater_error" : "timeout";
        stop.message = std::string("the updater ran longer than ") +
                       (per_event ? "readmodel.updater_timeout" : "readmodel.rebuild_timeout") + " (" +
                       std::to_string(limit) + " ms) for one event";
    }
    else if (is_transient(error->sqlstate()))
        stop.kind = FoldStop::Kind::transient;
    result.stop = std::move(stop);
    return result;
}

void Fold::written(bool keep)
{
    cache.flushed();
    if (!keep)
    {
        cache.clear();
        complete = false;
    }
}

void Fold::forget()
{
    cache.clear();
    complete = false;
}

} // namespace query
