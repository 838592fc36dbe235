// verify, state_at, history: states folded afresh from the log, beside what the view shows. None of them writes.
//
// All that they compare belongs to the statement's snapshot: the generation that serves, its checkpoint, its dead letters, its states
// and the events.

#include "pg/sqlstate.hpp"
#include "query/arguments.hpp"
#include "query/instance_id.hpp"
#include "query/readiness.hpp"
#include "query/replay.hpp"
#include "query/replay_subject.hpp"
#include "query/result_row.hpp"

namespace query
{

namespace
{

// The serving generation, locked.
struct Serving
{
    ReplaySubject subject;
    MaybePosition checkpoint;
    MaybePosition told; // what status() says; no event of the query's lies between this and the checkpoint
    std::set<Position> dead_letters;

    const Generation &generation() const { return subject.generation; }
    KeyType key_type() const { return subject.generation.definition.key_type; }
};

// The caller has a CatalogScope.
Serving serving_generation(const QueryRow &own)
{
    const std::optional<catalog::QueryRow> query = catalog::find_query(own.name);
    const std::optional<catalog::GenerationRow> row =
        query && query->id == own.id ? catalog::find_generation(query->id, query->serving) : std::nullopt;
    std::optional<ReplaySubject> found;
    for (ReplaySubject &subject : replay_subjects(own))
        if (row && subject.generation.id == row->id)
            found = std::move(subject);
    if (!found)
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE, "query " + pg::shown(own.name) + " was changed concurrently")
            .hint("Run the transaction again.");
    lock_for_replay(*found, AccessShareLock);
    require_not_rewritten(*found);
    if (const std::optional<pg::Error> fault = replay_fault(*found))
        throw pg::Error(*fault);
    const Standing standing = standing_of(server_facts(), *query, *row);
    return {std::move(*found), standing.checkpoint.position, standing.position, dead_letters_of(row->id)};
}

// What workers would pass over by on_error = skip is passed over here.
LogReplay::OnFailure as_workers_do(const Generation &generation)
{
    const bool skip = generation.options.skip_errors;
    return [skip](const Replay::Failure &failure)
    { return skip && failure.lasting ? LogReplay::After::leave_out : LogReplay::After::raise; };
}

InstanceShare share_of(const Generation &generation, ChosenInstances &chosen)
{
    return divisible(generation) ? InstanceShare::only(chosen) : InstanceShare();
}

// One row of verify() for each difference.
class Differences
{
public:
    Differences(FunctionCallInfo fcinfo_, const Serving &serving_, const StateCache &folded_)
        : fcinfo(fcinfo_),
          serving(serving_),
          folded(folded_)
    {
    }

    void compare(std::string_view id, const StoredState *stored, const StateCache::Entry *entry)
    {
        const bool exists = entry && entry->second.exists;
        if (!stored && !exists)
            return;
        const pg::InContext in(scratch.get());
        const std::string document = exists ? document_of(folded, *entry) : std::string();
        if (!stored || !exists || stored->position != entry->second.position ||
            !same_document(stored->document, document))
        {
            ResultRow<5> row;
            row.text(0, id_text_of(serving.key_type(), id));
            if (stored && !stored->document.empty())
                row.set(1, document_datum(stored->document));
            if (exists)
                row.set(2, document_datum(document));
            if (stored)
                row.bigint(3, stored->position);
            if (exists)
                row.bigint(4, entry->second.position);
            row.put(fcinfo);
        }
        scratch.reset();
    }

private:
    FunctionCallInfo fcinfo;
    const Serving &serving;
    const StateCache &folded;
    pg::OwnedContext scratch{CurrentMemoryContext, "pg_readmodel differences"};
};

void verify_sample(FunctionCallInfo fcinfo, const Serving &serving, int count)
{
    StoredStates stored(serving.generation());
    ChosenInstances chosen;
    for (std::string &id : stored.sample(count))
        chosen.ids.insert(std::move(id));
    if (chosen.ids.empty())
        return;
    LogReplay replay(serving.generation(), serving.subject.source, share_of(serving.generation(), chosen),
                     serving.dead_letters);
    replay.run(serving.checkpoint, as_workers_do(serving.generation()));
    Differences differences(fcinfo, serving, replay.states());
    for (const std::string &id : chosen.ids)
    {
        const std::optional<StoredState> state = stored.find(id);
        differences.compare(id, state ? &*state : nullptr, &replay.states().at(id));
    }
}

// False: too much for the memory.
bool verify_share(FunctionCallInfo fcinfo, const Serving &serving, const InstanceShare &share)
{
    LogReplay replay(serving.generation(), serving.subject.source, share, serving.dead_letters,
                     most_replay_bytes(serving.generation(), share));
    if (replay.run(serving.checkpoint, as_workers_do(serving.generation())) == LogReplay::End::too_large)
        return false;
    Differences differences(fcinfo, serving, replay.states());
    StoredStates stored(serving.generation());
    std::optional<std::string> after;
    do
    {
        pg::check_for_interrupts();
        after = stored.after(after,
                             [&](std::string_view id, const StoredState &state)
                             {
                                 if (!share.owns(id))
                                     return;
                                 StateCache::Entry &entry = replay.states().at(id);
                                 entry.second.stored = true;
                                 differences.compare(id, &state, &entry);
                             });
    } while (after);
    for (const StateCache::Entry *const entry : replay.states().dirty_entries())
        if (!entry->second.stored)
            differences.compare(entry->first, nullptr, entry);
    return true;
}

Datum verify(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const QueryRow own = require_own_query(text_argument(fcinfo, 0, "name"));
    if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"sample\" must be at least 1");
    const CatalogScope scope;
    const Serving serving = serving_generation(own);
    if (!PG_ARGISNULL(1))
    {
        verify_sample(fcinfo, serving, PG_GETARG_INT32(1));
        return 0;
    }
    std::vector<InstanceShare> shares = shares_of_all(serving.generation());
    while (!shares.empty())
    {
        const InstanceShare share = shares.back();
        shares.pop_back();
        if (!verify_share(fcinfo, serving, share))
            for (const InstanceShare &half : halves(share))
                shares.push_back(half);
    }
    return 0;
}

// The document of an instance as of a position, if it exists then.
std::optional<std::string> folded_state(const QueryRow &own, const std::string &id, Position at)
{
    const CatalogScope scope;
    const Serving serving = serving_generation(own);
    if (!serving.told || at > *serving.told)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE,
                        "query " + pg::shown(own.name) + " has not come to position " + std::to_string(at))
            .detail(serving.told ? "It is at position " + std::to_string(*serving.told) + "."
                                 : std::string("It has applied nothing yet."))
            .hint("readmodel.wait_for() waits until it has.");
    ChosenInstances chosen;
    chosen.ids.insert(id_bytes_of(serving.key_type(), id));
    LogReplay replay(serving.generation(), serving.subject.source, share_of(serving.generation(), chosen),
                     serving.dead_letters);
    replay.run(at, as_workers_do(serving.generation()));
    const StateCache::Entry &entry = replay.states().at(*chosen.ids.begin());
    if (!entry.second.exists)
        return std::nullopt;
    return document_of(replay.states(), entry);
}

Datum state_at(FunctionCallInfo fcinfo)
{
    const QueryRow own = require_own_query(text_argument(fcinfo, 0, "name"));
    const std::string id = text_argument(fcinfo, 1, "id");
    require_argument(fcinfo, 2, "at_position");
    const std::optional<std::string> document = folded_state(own, id, PG_GETARG_INT64(2));
    if (!document)
        PG_RETURN_NULL();
    return document_datum(*document);
}

Datum detoasted(Datum value)
{
    return pg::call([&] { return PointerGetDatum(PG_DETOAST_DATUM(value)); });
}

Datum history(FunctionCallInfo fcinfo)
{
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const QueryRow own = require_own_query(text_argument(fcinfo, 0, "name"));
    const std::string id = text_argument(fcinfo, 1, "id");
    const CatalogScope scope;
    const Serving serving = serving_generation(own);
    ChosenInstances chosen;
    const std::string bytes = id_bytes_of(serving.key_type(), id);
    chosen.ids.insert(bytes);
    LogReplay replay(serving.generation(), serving.subject.source, share_of(serving.generation(), chosen),
                     serving.dead_letters);
    pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel history");
    replay.run(serving.checkpoint, as_workers_do(serving.generation()),
               [&](const EventValues &event, std::span<StateCache::Entry *const> entries)
               {
                   const auto entry = std::find_if(entries.begin(), entries.end(),
                                                   [&](const auto *one) { return one->first == bytes; });
                   if (entry == entries.end())
                       return;
                   const pg::InContext in(scratch.get());
                   ResultRow<4> row;
                   row.set(0, event.values[column_position]);
                   if (!event.nulls[column_type])
                       row.set(1, detoasted(event.values[column_type]));
                   if (!event.nulls[column_data])
                       row.set(2, detoasted(event.values[column_data]));
                   if ((*entry)->second.exists)
                       row.set(3, document_datum(document_of(replay.states(), **entry)));
                   row.put(fcinfo);
                   scratch.reset();
               });
    return 0;
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_verify, query::verify);
READMODEL_FUNCTION(readmodel_state_at, query::state_at);
READMODEL_FUNCTION(readmodel_history, query::history);
