// Reads events of a source in position order, a page at a time.
#pragma once

#include "pg/spi.hpp"
#include "query/key_expression.hpp"
#include "source/event_source.hpp"
#include "source/settled_position.hpp"

namespace source
{

// A page of events under one snapshot. Its memory belongs to the SPI connection under which it was read.
class EventPage
{
public:
    EventPage() : rows(nullptr, 0) {}
    EventPage(pg::Rows rows_, bool exhausted_);

    size_t size() const { return ordered.size(); }
    bool empty() const { return ordered.empty(); }
    bool exhausted() const { return no_more; }
    std::span<const Position> positions() const { return ordered; }
    Position last() const { return ordered.back(); }

    // The columns of one event, as a key expression takes them; text, jsonb as stored (perhaps toasted).
    const query::EventValues &event(size_t index) const { return events[index]; }

    // Forgets the events from `count` on: they are not settled.
    void truncate(size_t count)
    {
        if (count < ordered.size())
        {
            ordered.resize(count);
            no_more = false;
        }
    }
    void free() { rows.free(); }

private:
    pg::Rows rows;
    std::vector<Position> ordered;
    std::vector<query::EventValues> events;
    bool no_more = true;
};

class EventReader
{
public:
    explicit EventReader(const EventSource &event_source);

    // Up to `limit` events above `after` and at or below `up_to`, under the active snapshot, read as the source's owner.
    // Needs an SPI connection.
    EventPage read(const MaybePosition &after, const MaybePosition &up_to, int limit);

    // True if more than `limit` events lie above `after` and at or below `up_to`.
    bool more_than(int limit, const MaybePosition &after, const MaybePosition &up_to);

    // The first event that lies in one of the holes, if any does.
    MaybePosition first_in(const std::deque<SettledPosition::DeadHole> &holes);

    // The highest position that the active snapshot shows.
    MaybePosition head();

private:
    template <class F>
    auto as_owner(F &&f) -> decltype(f());

    const EventSource &source;
    pg::Statement page_statement;
    pg::Statement count_statement;
    pg::Statement head_statement;
    pg::Statement hole_statement;
};

} // namespace source
