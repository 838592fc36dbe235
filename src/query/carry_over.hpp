// What a new generation's table of states takes over from the serving one's before it serves itself: the indexes, privileges,
// comments and storage options that its owner has given it.
#pragma once

#include "query/generation.hpp"

namespace query
{

// Carries everything over and collects statistics; again where the serving one was changed since. False: there was nothing to do. An
// index that cannot be made on the new states is logged as a warning and left out. Builds indexes, so not where others wait for it, if
// the states may be many. Needs a transaction, as a superuser; an index's expressions run as the owner of the table.
bool prepare_takeover(const Generation &generation);

// Throws 55P03 (the caller prepares and tries again) unless the serving one is as it was when everything was carried over, and nobody is
// building an index on it or changing it under a lock that keeps writers out; until the end of the transaction nobody can begin to. What
// needs no such lock (GRANT, COMMENT, storage options) may still commit at the same moment, and is then something that came after the
// takeover. For take_over(), as late as it can.
void require_prepared(const Generation &generation);

// The serving one, and the lock on it that require_prepared() wants. Needs a snapshot.
struct ServingStates
{
    Oid table = InvalidOid;
    LOCKMODE mode = RowExclusiveLock;
};
std::optional<ServingStates> serving_states(const Generation &generation);

// Privileges, comments on the relation and its columns of one relation for another with the same columns. `kind`: TABLE or VIEW;
// `to`: quoted. Run as a superuser, GRANT acts as the owner.
void carry_over_privileges(Oid from, const std::string &kind, const std::string &to);

} // namespace query
