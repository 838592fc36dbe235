// The catalog's rows as a statement's snapshot sees them.
//
// Index scans under the ACTIVE snapshot, without SPI and without privileges of the caller: a probe costs microseconds, and all
// that it reads belongs to the snapshot under which the same statement reads states. Functions that show what they find here
// check first what the caller may see (visibility.hpp). Lanes read the catalog in bulk instead (generation.hpp).
#pragma once

#include <unordered_map>

#include "query/generation.hpp"
#include "source/event_source.hpp"

namespace query::catalog
{

struct QueryRow
{
    int32 id = 0;
    std::string name;
    int32 source_id = 0;
    Oid view = InvalidOid;
    bool serve_previous = false;  // option while_rebuilding
    std::optional<int64> max_lag; // option, in microseconds
    int32 newest = 0;
    int32 serving = 0;
    std::optional<TimestampTz> paused_at;
};

struct GenerationRow
{
    int32 id = 0;
    int32 number = 0;
    std::string definition_hash;
    KeyType key_type = KeyType::text;
    std::optional<std::vector<std::string>> event_types;
    Oid state_table = InvalidOid;
    Phase phase = Phase::rebuilding;
    TimestampTz defined_at = 0;
    std::optional<TimestampTz> rebuild_started_at;
    std::optional<TimestampTz> ready_at;
    std::optional<int64> events_replayed; // once it is live
    bool own_uncommitted = false;         // defined by the transaction that reads it: no worker can know of it

    // Otherwise only its definition hash is remembered.
    bool has_states() const { return phase != Phase::rejected && phase != Phase::dropped; }
};

struct CheckpointRow
{
    MaybePosition position;
    int64 events_applied = 0;
    int64 instances = 0;
};

struct FailureRow
{
    std::string reason;
    MaybePosition position;
    std::optional<std::string> sqlstate;
    std::optional<std::string> message;
    std::optional<TimestampTz> failed_at;
};

std::optional<QueryRow> find_query(const std::string &name);

// What the guard of a view compares, which runs once in every statement that reads the view: the number of the generation that the
// view names, and that of the one which serves.
struct Shown
{
    int32 number;
    int32 serving;
};
std::optional<Shown> shown_by_view(int32 generation_id);

// Whom the query belongs to: the owner of the view, else of a table of states, the serving one first; the catalog's if they are
// all gone. The same rule as QueryRow::owner of catalog.hpp.
Oid owner_of(const QueryRow &query);
std::vector<QueryRow> all_queries(); // by name, in byte order
std::vector<std::optional<QueryRow>> find_queries(const std::vector<std::optional<std::string>> &names);
std::optional<GenerationRow> find_generation(int32 query_id, int32 number);
std::optional<GenerationRow> find_generation(int32 query_id,
                                             const std::string &definition_hash); // see KnownGenerations::with_hash()
std::vector<GenerationRow> generations_of(int32 query_id);                        // by number
CheckpointRow checkpoint_of(int32 generation_id);                                 // nothing applied if there is no row
std::optional<FailureRow> failure_of(int32 generation_id);
int64 count_dead_letters(int32 generation_id); // without those that were discarded

constexpr size_t many = 4; // from so many queries on, it takes less time to go through whole tables

// The rows of all queries by one scan of each table, for who asks about that many of them. Nothing: the table is large for that (it
// keeps generations of which only the hash is remembered, and versions of rows that somebody may still see), so they are better
// looked up singly.
using GenerationRows = std::unordered_map<int32, std::vector<GenerationRow>>; // by query, then by number
using CheckpointRows = std::unordered_map<int32, CheckpointRow>;              // by generation
using FailureRows = std::unordered_map<int32, FailureRow>;                    // by generation
std::optional<GenerationRows> read_generations(size_t queries);
std::optional<CheckpointRows> read_checkpoints(size_t queries);
std::optional<FailureRows> read_failures(size_t queries);

// A source with what it takes to look into its event table. Its sequence and marker are not looked up.
std::optional<source::EventSource> find_source(int32 source_id);

} // namespace query::catalog
