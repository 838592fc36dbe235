// The Witness that asks PostgreSQL's lock table.
#pragma once

#include "pg/locks.hpp"
#include "source/event_source.hpp"
#include "source/settled_position.hpp"

namespace source
{

// Call it inside a transaction without an xid, outside of user code.
class LockWitness final : public Witness
{
public:
    // Who takes the marks. There is one tail worker, which shows whom it waits for; of sessions there can be any number.
    enum class Observer
    {
        tail,
        session,
    };

    LockWitness(const EventSource &event_source, Observer by) : source(event_source), observer(by) {}

    Position last_drawn() override;
    void announce(Position high) override;
    std::vector<Holder> holders() override;
    bool ended(const Holder &holder) override;

    // What is settled is about to be applied: whoever inserts positions of his own is told before.
    void announce_passed(const MaybePosition &settled) const;

    // For gap_timeout, where no sequence can be asked: the highest position that the caller has seen.
    void seen(Position position) { highest_seen = std::max(highest_seen, position); }

private:
    const EventSource &source;
    Observer observer;
    Position highest_seen = std::numeric_limits<Position>::min();
};

pg::LockHolder lock_holder(const Holder &holder);

} // namespace source
