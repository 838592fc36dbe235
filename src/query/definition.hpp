// A definition as a caller gives it: checked with his rights, its names resolved, its hash computed.
#pragma once

#include "query/generation.hpp"
#include "query/options.hpp"

namespace query
{

// The arguments of define_query and definition_hash, as they came; an empty optional is NULL.
struct DefinitionArguments
{
    std::optional<std::string> source;
    Oid updater = InvalidOid;
    std::optional<std::string> key;
    std::optional<Datum> event_types; // text[]
    std::optional<Datum> spec;        // jsonb
    std::optional<Datum> options;     // jsonb

    // The six arguments from `first` on.
    static DefinitionArguments read(FunctionCallInfo fcinfo, int first);
};

struct CheckedDefinition
{
    int32 source_id = 0;
    std::string source;
    Definition definition; // key_expression deparsed, event_types sorted
    Options options;
    std::string hash;
};

// With `held` the source's row is locked, so that the source is not dropped before the transaction ends.
enum class SourceLock
{
    none,
    held,
};

// Throws unless the function can be an updater and the current user may call it.
void check_updater(Oid updater);

// Checks everything that needs no query's name, as the current user and under his search_path.
CheckedDefinition check_definition(const DefinitionArguments &arguments, SourceLock lock);

// The same of a definition that has no source and no options.
Definition check_definition_alone(const DefinitionArguments &arguments);

} // namespace query
