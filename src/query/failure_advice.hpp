// What to do about a failed query: the HINT of get, wait_for and catch_up, and of the server's log.
#pragma once

#include <string>
#include <string_view>

namespace query
{

// `reason`: the code that the failure is recorded under. `sqlstate`: of an updater_error. `older`: a generation before this one
// serves, and this one is still being built.
std::string failure_advice(std::string_view reason, std::string_view sqlstate, bool older);

} // namespace query
