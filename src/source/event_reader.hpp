// Reads events of a source in position order, a page at a time.
#pragma once

#include "pg/spi.hpp"
#include "source/direct_scan.hpp"
#include "source/event_source.hpp"
#include "source/settled_position.hpp"

namespace source
{

// A page of events under one snapshot. It is valid until the next one is read, and where SPI read it, no longer than the connection.
class EventPage
{
public:
    EventPage(PageContent &content_, pg::Rows rows_, bool exhausted_)
        : rows(rows_),
          content(&content_),
          no_more(exhausted_)
    {
    }

    size_t size() const { return content->positions.size(); }
    bool empty() const { return content->positions.empty(); }
    bool exhausted() const { return no_more; }
    std::span<const Position> positions() const { return content->positions; }
    Position last() const { return content->positions.back(); }

    // The columns of one event, as a key expression takes them; text, jsonb as stored (perhaps toasted).
    const query::EventValues &event(size_t index) const { return content->events[index]; }

    // Forgets the events from `count` on: they are not settled.
    void truncate(size_t count)
    {
        if (count < size())
        {
            content->positions.resize(count);
            no_more = false;
        }
    }
    void free()
    {
        rows.free();
        content->clear();
    }

private:
    pg::Rows rows;
    PageContent *content;
    bool no_more;
};

class EventReader
{
public:
    explicit EventReader(const EventSource &event_source);

    // Up to `limit` events above `after` and at or below `up_to`, under the active snapshot, read as the source's owner.
    // Needs an SPI connection. The page before is gone then.
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
    PageContent content; // of the page that was read last
    pg::Statement page_statement;
    pg::Statement count_statement;
    pg::Statement head_statement;
    pg::Statement hole_statement;
};

} // namespace source
