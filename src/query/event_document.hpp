// The event as an updater gets it: a jsonb document with position, type, stream, data and, where mapped, occurredAt and metadata.
#pragma once

#include "query/key_expression.hpp"

namespace query
{

// Raises as PostgreSQL does: call it inside pg::call. The result lives in CurrentMemoryContext.
Datum event_document(const EventValues &event);

} // namespace query
