// Whether functions were changed, fed by the server's invalidation messages: it is current whenever a lock was just taken, and at the
// start of a transaction.
#pragma once

#include "pg/guard.hpp"

namespace query
{

// Each moves when the catalog row of any function, or of any function or type, changes. Types change with every temporary table.
uint64 function_changes();
uint64 function_and_type_changes();

} // namespace query
