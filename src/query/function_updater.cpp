#include "query/function_updater.hpp"

#include "pg/progress_watch.hpp"
#include "query/function_watch.hpp"
#include "worker/in_hand.hpp"
#include "worker/worker_process.hpp"

namespace query
{

FunctionUpdater::UpdaterRow FunctionUpdater::updater_row(Oid updater)
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

void FunctionUpdater::accept()
{
    pg::call([] { AcceptInvalidationMessages(); });
    accepted = updater_row(generation.definition.updater_oid);
}

bool FunctionUpdater::unchanged() const
{
    pg::call([] { AcceptInvalidationMessages(); });
    const UpdaterRow now = updater_row(generation.definition.updater_oid);
    return TransactionIdIsValid(now.xmin) && now.xmin == accepted.xmin &&
           ItemPointerEquals(const_cast<ItemPointer>(&now.tid), const_cast<ItemPointer>(&accepted.tid));
}

void FunctionUpdater::select(const source::EventPage &page, const MaybePosition &cursor, bool, PassOverPage &pass)
{
    selected.clear();
    ids.clear();
    const pg::InContext in(page_context.get());
    const Definition &definition = generation.definition;
    const uint64 changes = function_and_type_changes();
    if (!key || key_compiled_at != changes)
    {
        key.reset();
        key.emplace(definition.key_expression, definition.key_type, definition.key_is_array);
        key_compiled_at = changes;
    }
    try
    {
        collect_keys(page, cursor, pass);
    }
    catch (const pg::PgError &)
    {
        cache.at_all(ids, selected_entries); // the events before it are applied
        throw;
    }
    cache.at_all(ids, selected_entries);
}

// Keeps the events that have a key, and names their instances.
void FunctionUpdater::collect_keys(const source::EventPage &page, const MaybePosition &cursor, PassOverPage &pass)
{
    const KeyType type = generation.definition.key_type;
    const std::span<const Position> positions = page.positions();
    SharedWork::Keys &shared_keys = shared->keys(generation, key_compiled_at);
    pg::call(
        [&]
        {
            for (pass.at = 0; pass.at < positions.size(); pass.at++)
            {
                if (cursor && positions[pass.at] <= *cursor)
                    continue;
                if (!wanted(page.event(pass.at)))
                    continue;
                pg::ProgressWatch::done();
                worker::InHand::at(positions[pass.at]);
                const KeyExpression::Keys &keys = shared_keys.of(pass.at, *key);
                const std::size_t first = ids.size();
                bool counted = false;
                for (int i = 0; i < keys.count; i++)
                {
                    const std::string_view id = id_bytes(type, keys.values[i]);
                    const bool owned = share.owns(id);
                    counted |= owned && i == 0;
                    if (owned)
                        ids.push_back(id);
                }
                if (ids.size() > first)
                    selected.push_back({pass.at, first, ids.size() - first, counted});
                CHECK_FOR_INTERRUPTS();
            }
        });
}

// Calls the updater for each selected event, in order.
void FunctionUpdater::apply(const source::EventPage &page, PassOverPage &pass)
{
    const pg::InContext in(page_context.get());
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
                pass.at = event.index;
                if (worker::WorkerProcess::should_leave_page())
                {
                    pass.left = true;
                    return;
                }
                CHECK_FOR_INTERRUPTS();
                MemoryContextReset(event_context.get());
                MemoryContext const previous = MemoryContextSwitchTo(event_context.get());
                const Datum document = shared->document(event.index);
                const Position position = page.positions()[event.index];
                worker::InHand::at(position);

                // All instances of the event change, or none: results are kept aside until the last one is there.
                struct varlena *only = nullptr;
                struct varlena **const results =
                    event.count == 1 ? &only
                                     : static_cast<struct varlena **>(palloc(event.count * sizeof(struct varlena *)));
                for (size_t i = 0; i < event.count; i++)
                {
                    const CachedState &state = selected_entries[event.first + i]->second;
                    // The lane is stale, which its compare-and-set will tell, or somebody has set the checkpoint back.
                    if (unlikely(state.exists && state.position >= position))
                        ereport(ERROR,
                                (errcode(ERRCODE_DATA_CORRUPTED),
                                 errmsg("the event at position %lld is in a state already, which is at position %lld",
                                        static_cast<long long>(position), static_cast<long long>(state.position)),
                                 errhint("The checkpoint or the states were changed by hand. Rebuild the query.")));
                    call->args[0].isnull = !state.exists;
                    call->args[0].value = state.exists ? PointerGetDatum(state.document.data()) : 0;
                    call->args[1].isnull = false;
                    call->args[1].value = document;
                    call->isnull = false;
                    const Datum result = FunctionCallInvoke(call);
                    if (unlikely(pg::ProgressWatch::expired()))
                        ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
                                        errmsg("the updater has swallowed its cancellation")));
                    results[i] = call->isnull ? nullptr : PG_DETOAST_DATUM(result);
                }
                for (size_t i = 0; i < event.count; i++)
                {
                    StateCache::Entry &entry = *selected_entries[event.first + i];
                    const std::string_view result =
                        results[i] ? std::string_view(reinterpret_cast<const char *>(results[i]), VARSIZE(results[i]))
                                   : std::string_view();
                    if (result != entry.second.document)
                        cache.change(entry, result, position);
                }
                MemoryContextSwitchTo(previous);
                pass.applied += event.counted ? 1 : 0;
                pg::ProgressWatch::done();
            }
        });
}

} // namespace query
