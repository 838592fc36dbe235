// How a generation stands: the facts for the rule of readiness_rule.hpp, gathered from the catalog and from shared memory.
//
// Everything that reports or checks a status goes through standing_of(): readiness(), ready(), status(), get(), wait_for().
// The caller has an active snapshot, and reads states under that same one.
#pragma once

#include "query/readiness_rule.hpp"
#include "query/survey.hpp"
#include "worker/shared.hpp"

namespace query
{

// What is the same for all generations of one call.
struct ServerFacts
{
    bool standby = false;
    bool database_listed = true;
    bool launcher_alive = false;
    worker::DatabaseHealth health;
    Survey survey;
};
ServerFacts server_facts(size_t queries = 1); // about so many queries it is going to be asked

struct Standing
{
    Status status = Status::stalled;
    std::string reason;     // may be shown to whoever may see the status
    std::string note;       // more about it; can quote data
    MaybePosition position; // what the query has been advanced over
    catalog::CheckpointRow checkpoint;
    std::optional<catalog::FailureRow> failure;
    std::optional<worker::GenerationSlot> slot;
    bool held = false; // slot->worker_pid lives
};
Standing standing_of(const ServerFacts &server, const catalog::QueryRow &query,
                     const catalog::GenerationRow &generation);

// The generation that a reader asks for: the newest one, or the one with that definition hash. Nothing where there is none that has
// states.
std::optional<catalog::GenerationRow> find_wanted_generation(const ServerFacts &server, const catalog::QueryRow &query,
                                                             const std::optional<std::string> &definition_hash);

// The same; throws RM006.
catalog::GenerationRow wanted_generation(const ServerFacts &server, const catalog::QueryRow &query,
                                         const std::optional<std::string> &definition_hash);

// The query of that name. Throws RM006.
catalog::QueryRow wanted_query(const std::string &name);

// The same, with 42501 unless the current user may see its status.
catalog::QueryRow visible_query(const std::string &name);

// The generation from which a read is answered, or, where none may answer, the one that was asked for; and how it stands.
struct Readable
{
    catalog::GenerationRow generation;
    Standing standing;
    bool stale = false; // it answers although what was asked for is not ready
    bool ready() const { return stale || standing.status == Status::ready; }
};

// What the answer is called: "ready", "stale" or, where there is none, the status.
std::string_view answered_as(const Readable &readable);

// The generation that was asked for or, where it is on its way or held by an operator and while_rebuilding = serve_previous, what is
// there already: the serving generation as it stands. `only_it`: no other generation will do.
Readable readable_generation(const ServerFacts &server, const catalog::QueryRow &query, catalog::GenerationRow asked,
                             bool only_it);

// Of the newest generation, or of the one with that definition hash and of no other. Throws RM006.
Readable readable_generation(const ServerFacts &server, const catalog::QueryRow &query,
                             const std::optional<std::string> &definition_hash = std::nullopt);

// The stale answer in place of the generation that was asked for, which stands so; nothing if there is none. `only_it`: as above.
std::optional<Readable> stale_answer(const ServerFacts &server, const catalog::QueryRow &query,
                                     const catalog::GenerationRow &asked, const Standing &standing, bool only_it);

// RM001 .. RM004 for a query that may not be read, with the reason and what to do.
pg::Error not_readable(const catalog::QueryRow &query, const Readable &readable);

// The size of a table of states with its indexes and TOAST; nothing while somebody holds one of them exclusively, or if it
// is gone: a status does not wait.
std::optional<int64> bytes_of_states(Oid state_table);

} // namespace query
