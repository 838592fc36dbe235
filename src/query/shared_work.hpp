// What several generations of a lane make of a page's events alike, made once: an event's document, its keys by an expression, and its
// data and metadata as they were before they were compressed or stored apart.
//
// A document says what the event's row says, so it is the same for every updater. Updaters are called with the one copy: no function may
// change an argument that it gets by reference, and only C, a superuser's language, could.
//
// Keys are shared where the evaluation would be the same in everything: expression, owner, captured search_path, and the functions as
// they stand. One that raises is not kept, so that each generation meets its own error.
#pragma once

#include "query/key_expression.hpp"
#include "source/event_reader.hpp"

namespace query
{

class SharedWork
{
public:
    SharedWork() : context(TopMemoryContext, "pg_readmodel shared page") {}

    // Another page, which must stay until the next one or end(). `readers`: generations that may ask for documents.
    void begin(const source::EventPage &page, std::size_t readers);
    void end() { context.reset(); }

    // Raises as PostgreSQL does. Lives in CurrentMemoryContext, or until the end of the page.
    Datum document(std::size_t index);

    // The data or metadata, which is not null, ready to be read. Raises as PostgreSQL does. Lives until the end of the page.
    Jsonb *plain(std::size_t index, EventColumn column);

    // The keys of the page's events by one generation's expression.
    class Keys
    {
    public:
        // Raises as PostgreSQL does. Lives until the end of the page.
        const KeyExpression::Keys &of(std::size_t index, KeyExpression &expression);

    private:
        friend class SharedWork;
        static constexpr std::uint32_t unknown = UINT32_MAX;

        SharedWork *work = nullptr;
        Oid owner = InvalidOid;
        const Definition *definition = nullptr; // of the generation that asked first; valid for its page only
        std::uint64_t compiled_at = 0;
        std::vector<std::uint32_t> places; // by the event's index: where its keys are in `values`
        std::vector<KeyExpression::Keys> values;
    };
    // `compiled_at`: the state of the functions that the expression was compiled with. Valid until the next call.
    Keys &keys(const Generation &generation, std::uint64_t compiled_at);

private:
    pg::OwnedContext context;
    const source::EventPage *page = nullptr;
    std::vector<Datum> documents; // by the event's index, 0: not made; empty: they are not kept
    struct Plain
    {
        Jsonb *data = nullptr;
        Jsonb *metadata = nullptr;
    };
    std::vector<Plain> plains; // by the event's index; empty: nothing was asked for that is not plain anyway
    std::vector<Keys> columns; // the first `columns_used` are this page's
    std::size_t columns_used = 0;
};

} // namespace query
