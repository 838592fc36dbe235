// What an updater reads: documents that lie somewhere, without copying them.
//
// A View is a borrowed place in a document; the Reader that gave it knows how to go on from there. The extension has a
// Reader over jsonb, so that a few fields of an event are read straight out of the page; TreeReader here reads Values.
//
//     const View amount = reader.member(event.data, "amount");
//     if (amount.kind == Kind::number)
//         total += reader.number(amount);
#pragma once

#include "fold/value.hpp"

#include <cstdint>
#include <string_view>
#include <utility>

namespace fold
{

struct View
{
    Kind kind = Kind::missing;
    bool boolean = false;  // of booleans
    std::string_view text; // of texts
    // The Reader's own: which container, number or index it is.
    const void *node = nullptr;
    std::uint64_t extra = 0;

    explicit operator bool() const { return kind != Kind::missing; }
};

class Reader
{
public:
    virtual ~Reader() = default;

    // Object, array, container and number are views of that kind, given by this reader (or made by its owner).
    virtual View member(const View &object, std::string_view name) const = 0;
    virtual View element(const View &array, std::size_t index) const = 0; // missing beyond the end
    virtual std::size_t size(const View &container) const = 0;
    virtual std::pair<std::string_view, View> member_at(const View &object,
                                                        std::size_t index) const = 0; // jsonb's order
    virtual Decimal number(const View &number) const = 0;
    virtual Value copy(const View &view) const = 0; // deep; LimitError beyond max_depth
};

class TreeReader final : public Reader
{
public:
    static View view(const Value &value);
    static const TreeReader &get(); // it has no state

    View member(const View &object, std::string_view name) const override;
    View element(const View &array, std::size_t index) const override;
    std::size_t size(const View &container) const override;
    std::pair<std::string_view, View> member_at(const View &object, std::size_t index) const override;
    Decimal number(const View &number) const override;
    Value copy(const View &view) const override;
};

// A view together with who can read on from it.
struct Located
{
    const Reader *reader = nullptr;
    View view;

    Kind kind() const { return view.kind; }
    explicit operator bool() const { return view.kind != Kind::missing; }
};

// As Value::equals and Value::identical; LimitError beyond max_depth.
bool equals(const Located &a, const Located &b);
bool identical(const Located &a, const Value &b);
Value copy(const Located &place);

// An event as it is given to an updater. What it does not have is missing; what the spec does not read (Spec::reads_..)
// may be left missing.
struct Event
{
    const Reader *reader = nullptr; // of data and metadata
    View data;
    View metadata;
    View occurred_at; // text: RFC 3339, UTC, microseconds
    View type;        // text
    View stream;      // text
    std::int64_t position = 0;
};

} // namespace fold
