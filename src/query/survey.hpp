// What standing_of() and those around it look up. Where many queries are asked about at once, each table of the catalog is read once,
// and not once for each query; sources and processes are looked up once in any case.
//
// All rows are of the active snapshot, which is taken before any of this; what is in shared memory is of some moment after that. A
// survey serves one call.
#pragma once

#include <unordered_map>

#include "query/catalog_rows.hpp"
#include "worker/in_hand.hpp"
#include "worker/shared.hpp"

namespace query
{

class Survey
{
public:
    // For so many queries.
    explicit Survey(size_t queries = 1);

    std::optional<catalog::GenerationRow> generation(int32 query_id, int32 number) const;
    std::vector<catalog::GenerationRow> generations(int32 query_id) const; // by number
    catalog::CheckpointRow checkpoint(int32 generation_id) const;          // nothing applied if there is no row
    std::optional<catalog::FailureRow> failure(int32 generation_id) const;

    const std::optional<worker::SourceSlot> &source(int32 source_id) const;
    bool lives(pid_t process) const;
    const std::optional<worker::EventInHand> &in_hand(pid_t process) const;

private:
    // Nothing: looked up singly.
    std::optional<catalog::GenerationRows> generation_rows;
    std::optional<catalog::CheckpointRows> checkpoint_rows;
    std::optional<catalog::FailureRows> failure_rows;
    // What was asked for already. Many generations have the same source, and the same worker.
    mutable std::unordered_map<int32, std::optional<worker::SourceSlot>> sources;
    mutable std::unordered_map<pid_t, bool> living;
    mutable std::unordered_map<pid_t, std::optional<worker::EventInHand>> events;
};

} // namespace query
