// The JSON array of events that append() takes, taken apart.
#pragma once

#include "pg/guard.hpp"

namespace source
{

// One entry per event and column. Plain memory, in the context that was current.
struct EventDocuments
{
    int count;
    Datum *types;    // text
    Datum *data;     // jsonb; {} where the event has none
    Datum *metadata; // jsonb
    bool *no_metadata;
};

// Raises 22023 with a DETAIL that names the event if `events` is no array of at least one {"type", "data", "metadata"}.
// Raises as PostgreSQL does: call it inside pg::call.
EventDocuments event_documents(Jsonb *events);

} // namespace source
