// A query's key: an SQL expression over position, type, stream, data, metadata and occurred_at.
#pragma once

#include "pg/memory.hpp"
#include "query/generation.hpp"

namespace query
{

// The values that a key expression can name, in the order of its parameters.
struct EventValues
{
    Datum values[6];
    bool nulls[6];
};
enum EventColumn
{
    column_position,
    column_type,
    column_stream,
    column_data,
    column_metadata,
    column_occurred_at,
};

// What define_query learns about an expression: its result, and its canonical text.
struct KeyCheck
{
    KeyType type;
    bool is_array;
    std::string deparsed; // schema-qualified, as the definition hash takes it
};

// Parses and checks the text under the current search_path. Throws with SQLSTATE, DETAIL and HINT: syntax, an unknown column,
// a subquery, an aggregate, a set, a volatile function, a type that is no text, uuid, bigint or an array of these.
KeyCheck check_key(const std::string &text);

// The canonical text of an expression, compiled for evaluation. Make it and evaluate it as the query's owner with the captured search_path set.
class KeyExpression
{
public:
    KeyExpression(const std::string &text, KeyType type, bool is_array);
    ~KeyExpression();
    KeyExpression(KeyExpression &&) noexcept;
    KeyExpression &operator=(KeyExpression &&) noexcept;

    struct Keys
    {
        Datum *values;
        int count;
    };

    // The distinct non-null keys of one event, in order of first appearance; none: the event does not concern the query.
    // Raises as PostgreSQL does, so call it inside pg::call; the result lives in CurrentMemoryContext.
    Keys evaluate(const EventValues &event);

private:
    struct Compiled;
    std::unique_ptr<Compiled> compiled;
};

} // namespace query
