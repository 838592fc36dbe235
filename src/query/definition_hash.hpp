// The definition hash: SHA-256 over a canonical text of all that determines a query's result.
//
// The text is made of names and deparsed expressions, never of OIDs, so it is the same after dump and restore, pg_upgrade and an
// update of the extension. It names its own format: a later format is another definition, and would rebuild everything, so
// the format changes only where an older one was wrong.
//
// What an updater calls, and the tables that it reads, are not seen: the option `version` is for those.
#pragma once

#include "query/generation.hpp"

namespace query
{

// `source_id` is read from the catalog; needs no rights of the caller's. `definition` is checked, with a resolved updater.
std::string definition_hash(int32 source_id, const Definition &definition);

} // namespace query
