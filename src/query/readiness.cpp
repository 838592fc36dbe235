#include "query/readiness.hpp"

#include "pg/sqlstate.hpp"
#include "pg/text.hpp"
#include "query/failure_advice.hpp"
#include "query/source_view.hpp"
#include "query/visibility.hpp"
#include "settings.hpp"
#include "worker/in_hand.hpp"
#include "worker/session_settings.hpp"

namespace query
{

namespace
{

// The rebuild lane that the generation waits for could not be started.
bool rebuild_has_no_slot(const worker::GenerationSlot &slot)
{
    if (slot.assignment != worker::Assignment::rebuild_wanted)
        return false;
    const worker::SharedLock lock(LW_SHARED);
    const worker::RebuildSlot *const rebuild = worker::find_rebuild(slot.lane);
    return rebuild && rebuild->no_slot;
}

std::string_view code_of(worker::Block block)
{
    switch (block)
    {
    case worker::Block::none:
        break;
    case worker::Block::lock:
        return "lock";
    case worker::Block::permission:
        return "permission";
    case worker::Block::restoring:
        return "restoring";
    case worker::Block::transient:
        return "transient";
    case worker::Block::source:
        return "source";
    case worker::Block::definition:
        return "definition_changed";
    case worker::Block::dependents:
        return "dependents";
    case worker::Block::takeover:
        return waits_for_takeover;
    }
    return {};
}

void add_writer(ReadinessFacts &facts, const Survey &survey, int32 source_id)
{
    const std::optional<worker::SourceSlot> &source = survey.source(source_id);
    if (!source || !source->pending)
        return;
    facts.writer_pending = true;
    const int shown = std::min(source->blockers, worker::max_shown_blockers);
    for (int i = 0; i < shown && facts.writer_pid == 0; i++)
        facts.writer_pid = source->blocked_by[i];
    const TimestampTz since = source->blocked_start != 0 ? source->blocked_start : source->pending_since;
    if (since != 0)
        facts.writer_seconds = static_cast<long>(std::max<int64>(0, GetCurrentTimestamp() - since) / USECS_PER_SEC);
}

void add_shared_memory(ReadinessFacts &facts, Standing &standing, const ServerFacts &server, int32 source_id,
                       int32 generation_id)
{
    facts.preloaded = server.health.preloaded;
    facts.version_mismatch = server.health.version_mismatch;
    facts.launcher_alive = server.launcher_alive;
    facts.tail_alive = server.health.tail_alive;
    facts.tail_no_slot = server.health.no_slot;
    standing.slot = worker::generation_snapshot(generation_id);
    if (!standing.slot)
        return;
    const worker::GenerationSlot &slot = *standing.slot;
    standing.held = slot.worker_pid != 0 && server.survey.lives(slot.worker_pid);
    facts.held = standing.held;
    if (standing.held)
        if (const std::optional<worker::EventInHand> &event = server.survey.in_hand(slot.worker_pid))
        {
            facts.call_seconds = static_cast<long>(event->seconds);
            facts.own_call = event->generation_id == generation_id;
            facts.call_position = event->position;
            facts.worker_pid = slot.worker_pid;
        }
    facts.rebuild_no_slot = rebuild_has_no_slot(slot);
    facts.rebuild_wanted = slot.assignment == worker::Assignment::rebuild_wanted;
    facts.block = code_of(slot.block);
    facts.blocker_pid = slot.blocker_pid;
    facts.reached = slot.reached;
    facts.required = slot.required.get();
    facts.stored = slot.advances.stored();
    if ((facts.advanced = slot.advances.over(facts.checkpoint)))
        facts.stored = facts.checkpoint; // it was, when this snapshot was taken
    if (slot.block != worker::Block::none)
        standing.note = std::string(slot.note, strnlen(slot.note, sizeof slot.note));
    if (facts.live)
        add_writer(facts, server.survey, source_id);
}

// Asks the event table only where the time alone would not do.
void add_lag(ReadinessFacts &facts, const Standing &standing, const catalog::QueryRow &query)
{
    if (!query.max_lag || !facts.live || !standing.slot || standing.slot->current_at == 0)
        return;
    const int64 lag = GetCurrentTimestamp() - standing.slot->current_at;
    if (lag <= *query.max_lag)
        return;
    const std::optional<source::EventSource> source = catalog::find_source(query.source_id);
    const MaybePosition head = source ? source::head_position(*source) : std::nullopt;
    facts.lag_exceeded = source::before(position_of(facts), head);
    facts.lag_seconds = static_cast<double>(lag) / USECS_PER_SEC;
    facts.max_lag_seconds = static_cast<double>(*query.max_lag) / USECS_PER_SEC;
}

} // namespace

ServerFacts server_facts(size_t queries)
{
    ServerFacts server;
    server.survey = Survey(queries);
    server.standby = RecoveryInProgress();
    if (server.standby)
        return server;
    const char *const database = pg::call([] { return get_database_name(MyDatabaseId); });
    server.database_listed = database && worker::database_is_listed(database);
    server.health = worker::database_health();
    if (const worker::Shared *const shared = worker::shared())
    {
        const worker::SharedLock lock(LW_SHARED);
        server.launcher_alive = shared->launcher_pid != 0;
    }
    return server;
}

Standing standing_of(const ServerFacts &server, const catalog::QueryRow &query,
                     const catalog::GenerationRow &generation)
{
    Standing standing;
    standing.checkpoint = server.survey.checkpoint(generation.id);
    standing.failure = server.survey.failure(generation.id);

    ReadinessFacts facts;
    // The newest one is not ready before the view shows it, though it may have been live before.
    const bool shown = generation.number != query.newest || query.serving == query.newest;
    facts.live = generation.phase == Phase::live && shown;
    facts.checkpoint = standing.checkpoint.position;
    facts.paused = query.paused_at.has_value();
    if (standing.failure)
        facts.failure =
            FailureFacts{standing.failure->reason, standing.failure->position, standing.failure->sqlstate.value_or("")};
    // Where that is not possible, the failure has got a SQLSTATE (redefine.cpp).
    facts.followed = standing.failure && generation.number == query.newest &&
                     standing.failure->reason == "definition_changed" && !standing.failure->sqlstate;
    if (generation.phase == Phase::gated)
        facts.gate = GateFacts{generation.number, pg::call([&] { return timestamptz_to_str(generation.defined_at); }),
                               generation.definition_hash};
    facts.standby = server.standby;
    facts.enabled = settings::enabled;
    facts.database_listed = server.database_listed;
    facts.rebuilds_allowed = settings::max_rebuild_workers > 0;
    if (!server.standby)
    {
        add_shared_memory(facts, standing, server, query.source_id, generation.id);
        add_lag(facts, standing, query);
    }
    else if (facts.live && !facts.failure)
    {
        const std::optional<source::EventSource> source = catalog::find_source(query.source_id);
        const std::optional<bool> unread =
            source ? has_event_after(*source, standing.checkpoint.position, generation.event_types) : std::nullopt;
        facts.source_readable = unread.has_value();
        facts.unread_event = unread.value_or(false);
    }

    Verdict verdict = decide(facts);
    standing.status = verdict.status;
    standing.reason = std::move(verdict.reason);
    standing.position = position_of(facts);
    return standing;
}

catalog::QueryRow wanted_query(const std::string &name)
{
    std::optional<catalog::QueryRow> query = catalog::find_query(name);
    if (!query)
        throw pg::Error(pg::sqlstate::no_such_object, "query " + pg::shown(name) + " does not exist")
            .hint("readmodel.status() lists the queries that you may see.");
    return std::move(*query);
}

catalog::QueryRow visible_query(const std::string &name)
{
    catalog::QueryRow query = wanted_query(name);
    if (!may_see(catalog::owner_of(query)))
        throw pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for query " + pg::shown(name))
            .hint("The status is shown to the query's owner, to members of pg_monitor, and to roles for which "
                  "readmodel.grant_reader() was called.");
    return query;
}

static std::optional<catalog::GenerationRow> named_generation(const ServerFacts &server, const catalog::QueryRow &query,
                                                              const std::optional<std::string> &definition_hash)
{
    return definition_hash ? catalog::find_generation(query.id, *definition_hash)
                           : server.survey.generation(query.id, query.newest);
}

std::optional<catalog::GenerationRow> find_wanted_generation(const ServerFacts &server, const catalog::QueryRow &query,
                                                             const std::optional<std::string> &definition_hash)
{
    std::optional<catalog::GenerationRow> generation = named_generation(server, query, definition_hash);
    if (generation && !generation->has_states())
        generation.reset();
    return generation;
}

catalog::GenerationRow wanted_generation(const ServerFacts &server, const catalog::QueryRow &query,
                                         const std::optional<std::string> &definition_hash)
{
    std::optional<catalog::GenerationRow> generation = named_generation(server, query, definition_hash);
    if (generation && !generation->has_states())
        throw pg::Error(pg::sqlstate::no_such_object, "generation " + std::to_string(generation->number) +
                                                          " of query " + pg::shown(query.name) + " was " +
                                                          name_of(generation->phase))
            .hint("SELECT readmodel.activate(" + pg::quoted_literal(query.name) + ", " +
                  std::to_string(generation->number) + "); builds it again.");
    if (!generation && definition_hash)
        throw pg::Error(pg::sqlstate::no_such_object, "query " + pg::shown(query.name) +
                                                          " has no generation with definition hash " +
                                                          pg::shown(*definition_hash))
            .hint("readmodel.generations() lists them.");
    if (!generation)
        throw pg::Error(ERRCODE_DATA_CORRUPTED,
                        "query " + pg::shown(query.name) + " has no generation " + std::to_string(query.newest));
    return std::move(*generation);
}

std::string_view answered_as(const Readable &readable)
{
    return readable.stale ? "stale" : name_of(readable.standing.status);
}

// It stands still, since an operator paused it or its updater was replaced, but what it has is whole: it was taken over once.
static bool is_held_still(const catalog::GenerationRow &generation, const Standing &standing)
{
    return generation.phase == Phase::live && (standing.status == Status::paused ||
                                               (standing.failure && standing.failure->reason == "definition_changed"));
}

std::optional<Readable> stale_answer(const ServerFacts &server, const catalog::QueryRow &query,
                                     const catalog::GenerationRow &asked, const Standing &standing, bool only_it)
{
    if (!query.serve_previous || !may_serve_previous(standing.status))
        return std::nullopt;
    if (only_it || query.serving == asked.number)
        return is_held_still(asked, standing) ? std::optional<Readable>({asked, standing, true}) : std::nullopt;
    std::optional<catalog::GenerationRow> serving = server.survey.generation(query.id, query.serving);
    if (!serving)
        return std::nullopt;
    Readable previous{std::move(*serving), {}, true};
    previous.standing = standing_of(server, query, previous.generation);
    if (previous.standing.status != Status::ready && !is_held_still(previous.generation, previous.standing))
        return std::nullopt;
    return previous;
}

Readable readable_generation(const ServerFacts &server, const catalog::QueryRow &query, catalog::GenerationRow asked,
                             bool only_it)
{
    Readable readable{std::move(asked), {}, false};
    readable.standing = standing_of(server, query, readable.generation);
    if (readable.ready())
        return readable;
    if (std::optional<Readable> stale = stale_answer(server, query, readable.generation, readable.standing, only_it))
        return std::move(*stale);
    return readable;
}

Readable readable_generation(const ServerFacts &server, const catalog::QueryRow &query,
                             const std::optional<std::string> &definition_hash)
{
    return readable_generation(server, query, wanted_generation(server, query, definition_hash),
                               definition_hash.has_value());
}

pg::Error not_readable(const catalog::QueryRow &query, const Readable &readable)
{
    const Standing &standing = readable.standing;
    const bool older = readable.generation.number == query.newest && query.serving != query.newest;
    const std::string shown = pg::shown(query.name);
    pg::Error error = [&]
    {
        switch (standing.status)
        {
        case Status::failed:
            return pg::Error(pg::sqlstate::failed, "query " + shown + " has failed")
                .hint(failure_advice(standing.failure ? standing.failure->reason : "",
                                     standing.failure ? standing.failure->sqlstate.value_or("") : "", older));
        case Status::paused:
            return pg::Error(pg::sqlstate::paused_or_gated, "query " + shown + " is paused")
                .hint("An operator has to call readmodel.resume().");
        case Status::gated:
            return pg::Error(pg::sqlstate::paused_or_gated, "query " + shown + " is gated")
                .hint("An operator has to call readmodel.approve() or readmodel.reject().");
        case Status::stalled:
            return pg::Error(pg::sqlstate::stalled, "query " + shown + " is stalled")
                .hint("Nobody keeps it up to date now; readmodel.status() shows more.");
        case Status::ready:
        case Status::rebuilding:
            break;
        }
        return pg::Error(pg::sqlstate::rebuilding, "query " + shown + " is rebuilding")
            .hint("Try again when readmodel.readiness() says \"ready\".");
    }();
    error.detail_text = standing.reason;
    return error;
}

namespace
{

// Without waiting; what could be locked is added to the list. False: not all of them. Raises.
bool try_lock_all(List *relations, List **locked)
{
    for (int i = 0; i < list_length(relations); i++)
    {
        const Oid relation = list_nth_oid(relations, i);
        if (!ConditionalLockRelationOid(relation, AccessShareLock))
            return false;
        *locked = lappend_oid(*locked, relation);
    }
    return true;
}

// A table and its indexes, which REINDEX locks by themselves. `toast`: the table that it has for long values, or none. Raises.
bool try_lock_table(Oid table, Oid *toast, List **locked)
{
    if (!try_lock_all(list_make1_oid(table), locked))
        return false;
    const Relation relation = try_relation_open(table, NoLock);
    if (!relation)
        return false;
    *toast = relation->rd_rel->reltoastrelid;
    List *const indexes = RelationGetIndexList(relation);
    relation_close(relation, NoLock);
    return try_lock_all(indexes, locked);
}

} // namespace

std::optional<int64> bytes_of_states(Oid state_table)
{
    const int64 bytes = pg::call(
        [&]() -> int64
        {
            int64 size = -1;
            Oid toast = InvalidOid;
            Oid none = InvalidOid;
            List *locked = NIL;
            // All that pg_total_relation_size() opens, and would wait for.
            if (try_lock_table(state_table, &toast, &locked) &&
                (!OidIsValid(toast) || try_lock_table(toast, &none, &locked)))
                size = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(state_table)));
            for (int i = 0; i < list_length(locked); i++)
                UnlockRelationOid(list_nth_oid(locked, i), AccessShareLock);
            return size;
        });
    return bytes < 0 ? std::nullopt : std::optional<int64>(bytes);
}

} // namespace query
