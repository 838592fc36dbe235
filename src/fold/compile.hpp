// From a spec's document to the program that is executed. All checks of a definition are here and in syntax.cpp.
#pragma once

#include "fold/program.hpp"
#include "fold/value.hpp"

#include <memory>

namespace fold
{

inline constexpr int max_spec_depth = 100;

std::shared_ptr<const Program> compile(const Value &spec); // throws SpecError

} // namespace fold
