// A declarative updater's spec, with its faults told as PostgreSQL's errors.
#pragma once

#include "pg/guard.hpp"

#include "fold/spec.hpp"

namespace query
{

// `text`: a jsonb document as it prints. Throws 22023 with the JSON pointer of the fault, what was found and what is allowed, and the
// nearest known word.
fold::Spec parse_spec(const std::string &text);

} // namespace query
