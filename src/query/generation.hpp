// One build of a query under one definition: what a lane has to know about it.
#pragma once

#include "pg/guard.hpp"
#include "query/share.hpp"
#include "source/position.hpp"

namespace query
{

enum class KeyType
{
    text,
    uuid,
    bigint,
};

Oid type_oid(KeyType type);
Oid array_type_oid(KeyType type);

// What determines the result of a query, with its names resolved.
struct Definition
{
    std::optional<std::string>
        spec;            // as jsonb prints it; the members down to key_is_array are then unused, the key's type is text
    std::string updater; // signature as schema.name(jsonb, jsonb), quoted
    Oid updater_oid = InvalidOid; // InvalidOid: no such function now
    std::string key_expression;
    KeyType key_type = KeyType::text;
    bool key_is_array = false;
    std::optional<std::vector<std::string>> event_types; // sorted; empty: all
    std::string search_path;
    std::optional<std::string> version; // the option: whatever the catalog cannot see
};

enum class Phase
{
    gated,    // waits for an operator's decision
    rejected, // that was no: only its definition hash is remembered
    rebuilding,
    live,
    dropped, // its states are gone, its definition hash is remembered
};

Phase phase_named(const std::string &name);
const char *name_of(Phase phase);

// Of the query's options what its lanes act upon.
struct LaneOptions
{
    int parallel = 1;         // into how many lanes a rebuild may be split
    bool skip_errors = false; // on_error
    int max_dead_letters = 1000;
    std::optional<int64> rebuild_timeout_ms; // nothing: the setting decides
    std::optional<int64> updater_timeout_ms; // as above
    int keep_generations = 1;
};

struct Generation
{
    int32 id = 0;
    int32 number = 0;
    int32 query_id = 0;
    std::string query_name;
    int32 source_id = 0;
    Oid owner = InvalidOid;       // of the state table: whose rights run its code
    Oid state_table = InvalidOid; // InvalidOid: dropped
    Oid alias_table = InvalidOid; // InvalidOid: it uses no aliases, or
    bool aliases_gone = false;    // somebody has dropped their table
    Oid view = InvalidOid;
    bool newest = false;
    bool serving = false;
    bool failed = false;
    bool frozen = false; // failed because its definition is not what the catalog has now
    bool paused = false; // its query is
    Phase phase = Phase::rebuilding;
    Definition definition;
    MaybePosition checkpoint;
    std::vector<Share> shares; // of a rebuild that is split; the checkpoint is empty then
    int32 revision = 0;        // of the checkpoint's row, see move_checkpoint()
    LaneOptions options;
    int64 events_applied = 0;
    std::string definition_hash;

    // An operator has to act before anybody may move it, or it has no states.
    bool stands_still() const { return failed || paused || (phase != Phase::rebuilding && phase != Phase::live); }
    // The highest position that is in any of its states.
    MaybePosition furthest() const;
    // The highest position that it takes for settled: where a rebuild that is split will end, too.
    MaybePosition relied_on() const;
    // Empty: that share is finished, or there is none.
    const Share *unfinished_share(int number) const;
};

// All generations of the database, in the order of their ids. Reads the catalog under a fresh snapshot; call it inside a
// transaction, as a superuser.
std::vector<Generation> load_generations();

// Records when the rebuild of a generation began, the first time that a lane takes it up.
void record_start(int32 generation_id);

// Records that the generation stands still. Idempotent; the first failure wins, but for one that says that events are lost.
void record_failure(int32 generation_id, const std::string &reason, const MaybePosition &position,
                    const std::string &sqlstate, const std::string &message);

} // namespace query
