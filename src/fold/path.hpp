// Paths: where a value is found in an event, in an item of a fan-out, or in the state.
//
//     $.lines[0].sku   $."a name"   $.lines[*].sku   $event.type   $item.sku   $state.total
//
// Navigation is strict: arrays are neither unwrapped nor made.
#pragma once

#include "fold/view.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fold
{

enum class Root : std::uint8_t
{
    data,
    type,
    position,
    stream,
    occurred_at,
    metadata,
    item,
    state
};

struct PathSegment
{
    enum class Sort : std::uint8_t
    {
        member,
        index,
        each
    };

    Sort sort = Sort::member;
    std::string name;
    std::size_t index = 0;
};

struct Path
{
    Root root = Root::data;
    std::vector<PathSegment> segments;
    bool many = false; // has a [*]
    std::string text;  // as it was written, for messages
};

// What the roots of paths stand for while an event is folded.
struct Scope
{
    const Event *event = nullptr;
    Located position;
    Located item;
    Located state;

    Located at(Root root) const
    {
        switch (root)
        {
        case Root::data:
            return {event->reader, event->data};
        case Root::type:
            return {event->reader, event->type};
        case Root::position:
            return position;
        case Root::stream:
            return {event->reader, event->stream};
        case Root::occurred_at:
            return {event->reader, event->occurred_at};
        case Root::metadata:
            return {event->reader, event->metadata};
        case Root::item:
            return item;
        case Root::state:
            return state;
        }
        return {};
    }
};

// The one place that a path without [*] finds, or missing.
inline Located locate(const Path &path, const Scope &scope)
{
    Located place = scope.at(path.root);
    for (const PathSegment &segment : path.segments)
    {
        if (segment.sort == PathSegment::Sort::member)
        {
            if (place.view.kind != Kind::object)
                return {};
            place.view = place.reader->member(place.view, segment.name);
        }
        else
        {
            if (place.view.kind != Kind::array)
                return {};
            place.view = place.reader->element(place.view, segment.index);
        }
    }
    return place;
}

// Calls visit for all that the path finds, in order, until it returns false; returns whether it never did.
template <class Visit>
bool visit_all(Located place, std::span<const PathSegment> segments, Visit &&visit)
{
    for (std::size_t i = 0; i < segments.size(); ++i)
    {
        const PathSegment &segment = segments[i];
        if (place.view.kind != (segment.sort == PathSegment::Sort::member ? Kind::object : Kind::array))
            return true;
        if (segment.sort == PathSegment::Sort::member)
            place.view = place.reader->member(place.view, segment.name);
        else if (segment.sort == PathSegment::Sort::index)
            place.view = place.reader->element(place.view, segment.index);
        else
        {
            const std::size_t size = place.reader->size(place.view);
            for (std::size_t element = 0; element < size; ++element)
                if (!visit_all(Located{place.reader, place.reader->element(place.view, element)},
                               segments.subspan(i + 1), visit))
                    return false;
            return true;
        }
    }
    return !place || visit(place);
}

template <class Visit>
bool visit_all(const Path &path, const Scope &scope, Visit &&visit)
{
    return visit_all(scope.at(path.root), std::span<const PathSegment>(path.segments), visit);
}

} // namespace fold
