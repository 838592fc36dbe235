// What is well written, but can be nothing else than an error at every event that it is for, or never come to anything. These
// throw a SpecError, so that it is known when the query is defined.
#pragma once

#include "fold/expression_compiler.hpp"
#include "fold/program.hpp"

#include <span>

namespace fold
{

// A value of a kind that the operation does not take.
void check_value(Operator what, const Expression &value, const Part &part);
// A comparison of order with a value that has none.
void check_ordered(std::string_view comparison, const Part &part, const Expression &side);
// Of one operation, in its order: a target below another one that is something else than an object.
void check_overlaps(std::span<const Operation> operations);
// A key follows aliases, and none is ever remembered.
void check_aliases(const Program &program);

} // namespace fold
