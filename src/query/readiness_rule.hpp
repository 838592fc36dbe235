// What a generation's status is: a pure decision over facts, so that it can be tested without a server.
//
//                 defined                      the target is applied, one commit makes it live
//                    |                                       |
//                    v                                       v
//              +------------+   live, but not yet      +-----------+
//              | rebuilding | <----------------------- |   ready   |
//              +------------+   caught up again since  +-----------+
//                 |  ^   |      the server's start        |   |  ^
//                 |  |   |                                |   |  |
//     failure row |  |   | nobody moves it     nobody     |   |  | a worker is back and has
//                 v  |   v                     moves it   |   |  | reached the target again
//          +--------+|  +---------+ <---------------------+   |  |
//          | failed ||  | stalled | ---------------------------+--+
//          +--------+|  +---------+                           |
//              |  ^  | retry                                  |
//              +--+--+            failure row                 |
//                 +-------------------------------------------+
//
// `gated` is before all of this: a generation that an operator has not approved. `paused` lies over all of it but `failed`.
//
// Two kinds of facts meet here. The catalog's rows are seen under the snapshot of the caller's statement, so that the status
// belongs to the very states that the same statement reads. Shared memory is newer than that snapshot, or empty: it may only
// turn the answer downward. A row that says "live" is `ready` only if a live process proves it, and only if this snapshot
// already sees the checkpoint with which the target was reached.
//
// When several things are wrong, the first of these is told: a recorded failure (an operator has to act), a pause (an operator
// wanted it so), the gate (an operator is asked), the absence of whatever would move the generation, what holds it up, how far it still has to go.
#pragma once

#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "source/position.hpp"

namespace query
{

// DESIGN's words.
enum class Status
{
    ready,
    rebuilding,
    failed,
    paused,
    gated,
    stalled,
};

constexpr std::string_view name_of(Status status)
{
    switch (status)
    {
    case Status::ready:
        return "ready";
    case Status::rebuilding:
        return "rebuilding";
    case Status::failed:
        return "failed";
    case Status::paused:
        return "paused";
    case Status::gated:
        return "gated";
    case Status::stalled:
        break;
    }
    return "stalled";
}

// A generation's recorded failure; the message is not here, since it can quote data.
struct FailureFacts
{
    std::string code;
    source::MaybePosition position;
    std::string sqlstate;
};

// A generation that waits for an operator's decision.
struct GateFacts
{
    int generation = 0;
    std::string since;
    std::string definition_hash;
};

// A block that passes without anybody's doing, as a rule: all but the takeover is done.
inline constexpr std::string_view waits_for_takeover = "takeover";

struct ReadinessFacts
{
    // The catalog under the statement's snapshot.
    bool live = false;
    source::MaybePosition checkpoint;
    std::optional<FailureFacts> failure;
    bool followed =
        false; // failed only since its definition was changed a moment ago: the worker defines the query as it is now
    bool paused = false; // by an operator
    std::optional<GateFacts> gate;

    // A standby has no workers and no shared memory of ours; the event table answers instead.
    bool standby = false;
    bool unread_event = false; // an event of the generation's types lies above the checkpoint, under the same snapshot
    bool source_readable = true; // false: the question above could not be answered

    // Settings.
    bool enabled = true;          // readmodel.enabled
    bool database_listed = true;  // readmodel.databases
    bool rebuilds_allowed = true; // readmodel.max_rebuild_workers > 0

    // Shared memory.
    bool preloaded = false;
    bool version_mismatch = false;
    bool launcher_alive = false;
    bool tail_alive = false;
    bool tail_no_slot = false;
    bool rebuild_wanted = false;  // it is too far behind for the tail and waits for a rebuild worker ..
    bool rebuild_no_slot = false; // .. which could not be started
    bool held = false;            // a live process moves this very generation: tail, rebuild worker or catch_up
    std::string_view block;       // why its lane left it behind; empty: it did not
    int blocker_pid = 0;
    bool reached = false;           // the target was reached since the server started ..
    source::MaybePosition required; // .. by the commit that stored this checkpoint
    source::MaybePosition stored;   // the stored checkpoint, as the lane knows it ..
    source::MaybePosition advanced; // .. and the position it has looked at while that was the stored one

    // A writer's open transaction keeps the source from being settled further.
    bool writer_pending = false;
    int writer_pid = 0; // 0: a prepared transaction
    long writer_seconds = 0;

    // The worker that moves it is in one call of an updater for this long; whose, is said if it is not its own.
    long call_seconds = 0;
    bool own_call = false;
    source::Position call_position = 0;
    int worker_pid = 0;

    // The option max_lag is set, there are events that are not applied, and the last time without any is longer ago.
    bool lag_exceeded = false;
    double lag_seconds = 0;
    double max_lag_seconds = 0;
};

struct Verdict
{
    Status status = Status::stalled;
    std::string reason; // empty, or a code, a colon and a text without any data
};

namespace rule
{

inline Verdict stalled(std::string reason)
{
    return {Status::stalled, std::move(reason)};
}

// Nobody moves the generation: the first reason that an operator can act on.
inline std::optional<Verdict> without_mover(const ReadinessFacts &facts)
{
    if (!facts.preloaded)
        return stalled("not_preloaded: shared_preload_libraries does not list pg_readmodel");
    if (facts.version_mismatch)
        return stalled("version: library and extension differ, ALTER EXTENSION pg_readmodel UPDATE is due");
    if (facts.held)
        return std::nullopt;
    if (!facts.enabled)
        return stalled("no_worker: readmodel.enabled is off");
    if (!facts.database_listed)
        return stalled("no_worker: readmodel.databases does not list this database");
    if (!facts.tail_alive && !facts.launcher_alive)
        return stalled("no_slot: the launcher does not run, max_worker_processes may leave no slot for it");
    if (!facts.tail_alive)
        return facts.tail_no_slot ? stalled("no_slot: max_worker_processes leaves no slot for the tail worker")
                                  : stalled("no_worker: no tail worker runs in this database");
    if (facts.rebuild_no_slot)
        return stalled("no_slot: max_worker_processes leaves no slot for a rebuild worker");
    if (facts.rebuild_wanted && !facts.rebuilds_allowed)
        return stalled("no_slot: readmodel.max_rebuild_workers is 0");
    return std::nullopt;
}

inline Verdict failed(const FailureFacts &failure)
{
    std::string reason = failure.code;
    if (!failure.sqlstate.empty() || failure.position)
        reason += ":";
    if (!failure.sqlstate.empty())
        reason += " SQLSTATE " + failure.sqlstate;
    if (failure.position)
        reason += " at position " + std::to_string(*failure.position);
    return {Status::failed, std::move(reason)};
}

// As much of the hash as tells definitions apart.
inline Verdict gated(const GateFacts &gate)
{
    return {Status::gated, "operator: generation " + std::to_string(gate.generation) +
                               " waits for readmodel.approve() since " + gate.since + ", definition " +
                               gate.definition_hash.substr(0, 12) + ".."};
}

inline Verdict blocked(const ReadinessFacts &facts)
{
    std::string reason(facts.block);
    if (facts.blocker_pid != 0)
        reason += ": waits for pid " + std::to_string(facts.blocker_pid);
    return {facts.block == waits_for_takeover ? Status::rebuilding : Status::stalled, std::move(reason)};
}

inline Verdict on_standby(const ReadinessFacts &facts)
{
    if (!facts.source_readable)
        return stalled("source: the event table cannot be read on this standby");
    if (!facts.live || facts.unread_event)
        return {Status::rebuilding, {}};
    return {Status::ready, {}};
}

inline std::string writer(const ReadinessFacts &facts)
{
    if (!facts.writer_pending)
        return {};
    return "writer: waits for " +
           (facts.writer_pid != 0 ? "the open transaction of pid " + std::to_string(facts.writer_pid)
                                  : std::string("a prepared transaction")) +
           ", " + std::to_string(facts.writer_seconds) + " s old";
}

inline std::string seconds(double value)
{
    std::array<char, 32> text{};
    const auto [end, error] =
        std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, value < 10 ? 1 : 0);
    return error == std::errc() ? std::string(text.data(), end) : std::string();
}

inline Verdict lags(const ReadinessFacts &facts)
{
    std::string reason =
        "lag: " + seconds(facts.lag_seconds) + " s, max_lag is " + seconds(facts.max_lag_seconds) + " s";
    if (const std::string why = writer(facts); !why.empty())
        reason += "; " + why;
    return stalled(std::move(reason));
}

// A call that takes longer keeps everything up that the worker moves.
inline constexpr long long_call_seconds = 10;

inline std::string long_call(const ReadinessFacts &facts)
{
    return "updater: " +
           (facts.own_call ? "at the event at position " + std::to_string(facts.call_position)
                           : "pid " + std::to_string(facts.worker_pid) + " is at one event of another query") +
           " for " + std::to_string(facts.call_seconds) + " s";
}

} // namespace rule

inline Verdict decide(const ReadinessFacts &facts)
{
    if (facts.failure && !facts.followed)
        return rule::failed(*facts.failure);
    if (facts.paused)
        return {Status::paused, "operator: readmodel.resume() lets it go on"};
    if (facts.gate)
        return rule::gated(*facts.gate);
    if (facts.standby && !facts.followed)
        return rule::on_standby(facts);
    if (!facts.standby)
        if (std::optional<Verdict> verdict = rule::without_mover(facts))
            return std::move(*verdict);
    if (facts.followed)
        return {Status::rebuilding, "definition_changed: a generation of the new definition is about to be built"};
    if (!facts.block.empty())
        return rule::blocked(facts);
    if (facts.rebuild_wanted && !facts.held)
        return {Status::rebuilding, "queued: waits for a rebuild worker"};
    const bool in_long_call = facts.held && facts.call_seconds >= rule::long_call_seconds;
    if (in_long_call && facts.live)
        return rule::stalled(rule::long_call(facts));
    if (in_long_call)
        return {Status::rebuilding, rule::long_call(facts)};
    if (!facts.live)
        return {Status::rebuilding, facts.held ? std::string() : std::string("queued: no worker has taken it up yet")};
    const bool seen = !source::before(facts.checkpoint, facts.required);
    if (!facts.reached || !facts.held || !seen)
        return {Status::rebuilding, "catching_up: not yet caught up since the server's start"};
    if (facts.lag_exceeded)
        return rule::lags(facts);
    return {Status::ready, rule::writer(facts)};
}

// What the query has been advanced over, as far as the states that this snapshot sees bear it out: events above the stored
// checkpoint that the generation does not read move only the lane's position, and only while that checkpoint is the stored one.
inline source::MaybePosition position_of(const ReadinessFacts &facts)
{
    if (!facts.standby && facts.checkpoint == facts.stored && source::before(facts.checkpoint, facts.advanced))
        return facts.advanced;
    return facts.checkpoint;
}

// While a newer generation is built, a query with while_rebuilding = serve_previous is answered from the older one. A failure or
// a stall of the newer one is no rebuild that is under way: it is told, so that a deployment which cannot succeed is noticed.
constexpr bool may_serve_previous(Status newest)
{
    return newest == Status::rebuilding || newest == Status::paused || newest == Status::gated;
}

} // namespace query
