// Generations that another one has taken over from, and how many of them are kept (option keep_generations).
#pragma once

#include "query/generation.hpp"

namespace query
{

// Those whose states are to go. Of the live ones that are neither newest nor serving keep_generations with the highest numbers are
// kept; one that is still being built goes on, since a revision of the application may wait for it. One that has failed before it was
// built goes once a later one was built to the end. Where an older one came into force again instead, as when an updater is put back, it
// can go on at its checkpoint when it is wanted once more: of these keep_generations are kept, too.
std::vector<const Generation *> beyond_kept(const std::vector<Generation> &generations);

enum class Dropping
{
    none, // it is needed again
    done,
    busy, // somebody reads its states, or changes the query
};

// Drops its states and remembers its definition hash. For a worker, in a transaction of its own; waits for nobody. Throws 2BP01 if
// other objects depend on its states.
Dropping drop_superseded(const Generation &generation);

} // namespace query
