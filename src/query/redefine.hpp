// What becomes of a query when what it was defined by is changed under it: the updater replaced, the source's mapping or a column's type
// changed. Its generation is frozen (worker/tail_definitions.cpp), and the query goes on with the definition that the catalog has now.
#pragma once

#include "query/generation.hpp"

namespace query
{

// Its definition is not what the catalog has now. One that has failed gives up why, if a new definition may be what mends it: not where
// events were lost, or an operator has cancelled it. True if it is frozen now.
bool freeze(int32 generation_id);

// It was put back as it was before anything was folded by another: the generation goes on at its checkpoint.
void unfreeze(int32 generation_id);

enum class Redefinition
{
    none, // there is nothing to do, or it cannot be done: the failure's message says why
    done,
    busy, // somebody defines or changes the query now
};

// Where the query's newest generation is frozen: makes the generation of the definition as it is now the newest, one that is there or
// a new one. For a worker, in a transaction of its own; waits for nobody, and acts as the query's owner where rights count.
Redefinition redefine(const std::string &query_name);

} // namespace query
