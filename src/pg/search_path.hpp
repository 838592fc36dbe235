// The search_path as what is defined under it keeps it.
#pragma once

#include "pg/guard.hpp"

namespace pg
{

// The schemas that the caller's path leads to now, by name, temporary ones last. "$user" is resolved and temporary schemas are left
// out: a worker, which has another user and other temporary tables, resolves the same names. Read it while quote_all_identifiers
// is off where the text is compared.
std::string captured_search_path();

} // namespace pg
