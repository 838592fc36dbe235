// The header Host, which tells by what name the client calls us.
//
// Any web page can have its own name resolve to 127.0.0.1 once it is loaded, and its browser then lets it read whatever a service
// there answers: to the browser it is the page's own site (DNS rebinding). But the browser sends that name as Host. So a service
// that asks for no token, and is safe only for not being reached from elsewhere, answers to names that no page can have.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace http
{

// Whether it is an address, localhost, or one of these names (in lower case), with a port or without.
bool is_own_host(std::string_view host, const std::vector<std::string> &names);

} // namespace http
