// The event as an updater gets it: a jsonb document with position, type, stream, data and, where mapped, occurredAt and metadata.
#pragma once

#include "query/key_expression.hpp"

namespace query
{

// Raises as PostgreSQL does: call it inside pg::call. The result lives in CurrentMemoryContext.
Datum event_document(const EventValues &event);

// RFC 3339 in UTC with microseconds, as documents and specs see a time; allocated in CurrentMemoryContext. Infinite times have no
// such form: they print as PostgreSQL prints them. Raises as PostgreSQL does.
char *rfc3339(TimestampTz timestamp);

} // namespace query
