// Where our catalog is and who may write it.
#pragma once

#include "pg/guard.hpp"

namespace query
{

// The owner of the schema readmodel_catalog, a superuser: our own statements on the catalog run as this user, after whatever
// the caller needs rights for was checked as the caller.
Oid catalog_owner();

// A relation of the catalog by name ("query", ..). Throws 3F000 or 42P01 where the extension is not (completely) there.
Oid catalog_relation(const char *name);

// The schema of the tables of states.
Oid data_schema();

} // namespace query
