// Making a generation: its rows and its table of states. The caller holds the lock of the query's name.
#pragma once

#include "query/catalog.hpp"
#include "query/generation.hpp"

namespace query
{

int32 next_generation_id();
int32 next_generation_number(int32 query_id);

struct GenerationTables
{
    Oid states = InvalidOid;
    Oid aliases = InvalidOid; // only of a spec that uses them
};

// The tables of a new generation, as the current user's.
GenerationTables create_tables(int32 generation_id, const Definition &definition);

// The catalog's rows of a new generation, which starts from nothing: rebuilding, or gated.
void insert_generation(int32 generation_id, int32 query_id, int32 number, const GenerationTables &tables,
                       const Definition &definition, const std::string &hash, Phase phase);

// A further generation of a query, which becomes its newest; the serving one stays. Its table belongs to the query's owner.
void build_generation(const QueryRow &query, int32 number, const Definition &definition, const std::string &hash,
                      Phase phase = Phase::rebuilding);

const char *name_of(KeyType type);
KeyType key_type_named(const std::string &name);

} // namespace query
