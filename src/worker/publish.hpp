// What lanes write into shared memory for status functions and waiters; only what is committed is announced.
#pragma once

#include "worker/lane.hpp"

namespace worker
{

// A member as it stands after a commit.
// Without `moved` it was only taken up: a reason why it does not move stays.
void publish(Member &member, Assignment assignment, bool moved = true);

// Of a member that is not published: only what has been committed is counted.
void count_batches(Member &member);

// Why a generation does not move. Its numbers stay as they are.
void publish_block(int32 generation_id, Block block, int blocker_pid, std::string_view note);

// The generations that are to be moved by a rebuild lane: those that have its number, or the one that it has a share of (0: none).
std::vector<int32> assigned_to(uint64 lane, int32 split_generation);

// What becomes of a generation that its worker leaves.
void assign(int32 generation_id, Assignment assignment);

// Nobody moves it, until an operator acts. Whoever takes it up again has to reach the target anew before it is ready.
void let_go(int32 generation_id);

// A source as its tail worker sees it.
struct SourceReport
{
    std::int64_t batches;
    std::int64_t lookups;
    std::int64_t events_read;
};
void publish(const source::EventSource &source, const source::SettledPosition &settled, const SourceReport &report);

} // namespace worker
