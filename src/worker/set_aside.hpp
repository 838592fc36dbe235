// The generations of a rebuild lane that cannot go on for now (a table is locked, the disk is full). They leave the lane in memory, so
// that the others go on, but stay assigned to it, and are taken up again after a while: a longer one each time.
#pragma once

#include "worker/lane.hpp"

namespace worker
{

class SetAside
{
public:
    // It has stopped, and why is told to everybody.
    void add(const Member &member);

    // Those that are not assigned to the lane any more are forgotten.
    void keep_only(const std::vector<int32> &generation_ids);
    void forget(int32 generation_id) { waiting.erase(generation_id); }
    void clear() { waiting.clear(); }

    bool empty() const { return waiting.empty(); }
    bool contains(int32 generation_id) const { return waiting.contains(generation_id); }
    // It is not due yet.
    bool waits(int32 generation_id, TimestampTz now) const;
    // One of them is to be taken up again.
    bool due() const;
    long milliseconds_until_due(long most) const;

    // It is back in the lane, and the next flush shows whether it may stay.
    void try_again(int32 generation_id) { waiting[generation_id].retry_at = 0; }
    bool any_is_tried() const;

private:
    struct Waiting
    {
        int failures = 0;
        TimestampTz retry_at = 0; // 0: it is back in the lane
    };

    std::map<int32, Waiting> waiting; // by generation
};

} // namespace worker
