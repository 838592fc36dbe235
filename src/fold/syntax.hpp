// The two small languages inside a spec's strings: paths ($.lines[*].sku) and targets (totals.byStatus[$.status]).
#pragma once

#include "fold/path.hpp"
#include "fold/program.hpp"

#include <string>
#include <string_view>

namespace fold
{

// What is wrong with a text; who knows its place in the spec makes a SpecError of it.
struct SyntaxFault
{
    std::string detail;
    std::string hint;
};

inline constexpr std::size_t max_names = 100; // of a path or a target

Path parse_path(std::string_view text);
// The computed names are paths; whether their roots may be used here is for the caller to check.
Target parse_target(std::string_view text);

} // namespace fold
