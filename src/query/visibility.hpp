// Who may see a query's status, and who may change things.
#pragma once

#include <unordered_map>

#include "pg/guard.hpp"

namespace query
{

// The owner of a relation; InvalidOid if it is gone.
Oid relation_owner(Oid relation);

// True when the current user may see the status of queries of whomever: members of pg_monitor, and roles that
// readmodel.grant_reader() was called for.
bool may_see_all();

// True when the current user may see the status of queries of `owner`: the owner and members of that role, too.
bool may_see(Oid owner);

// The same for many queries of few owners, within one call.
class Viewer
{
public:
    bool may_see(Oid owner);

private:
    std::unordered_map<Oid, bool> known;
};

// True when the current user may also see texts that can quote data, such as error messages: not mere readers.
bool may_see_messages(Oid owner);

} // namespace query
