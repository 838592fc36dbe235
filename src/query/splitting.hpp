// Whether a rebuild can be split into shares of the instances (query/share.hpp).
#pragma once

#include "query/definition.hpp"

namespace query
{

enum class Splitting
{
    possible,
    state_decides,  // which aliases are remembered or forgotten, and only one lane has the state
    all_lanes_skip, // an event that one lane passes over must leave no trace in another
};

// `skip_errors`: the option on_error.
Splitting splitting_of(const Definition &definition, bool skip_errors);

} // namespace query
