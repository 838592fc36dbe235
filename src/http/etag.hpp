// Entity tags (RFC 9110, section 8.8.3).
#pragma once

#include <string>
#include <string_view>

namespace http
{

// Differs whenever the state may: with the generation and its definition (a query that was dropped and defined again counts
// from 1 once more), the position of the state's last event, and the time of its last write, since a correction in place
// leaves the position as it is.
std::string entity_tag(std::string_view generation, std::string_view definition_hash, std::string_view position,
                       std::string_view updated_at);

// Whether If-None-Match names this tag. Weak and strong ones are compared alike.
bool matches(std::string_view if_none_match, std::string_view etag);

} // namespace http
