// A request's target, such as /queries/user%2Dorders/42?min_position=7, taken apart: the segments of its path and its
// parameters, percent-decoded. What comes out is valid UTF-8 without NUL bytes, so PostgreSQL can store it; what cannot be
// turned into that is refused as a whole.
//
//     std::string fault;
//     if (const auto target = parse_target("/queries/orders/7?hash=..", fault))
//         target->segments;    // "queries", "orders", "7"
//
// A segment may be empty: "" is an id like any other, and /queries/orders/ asks for it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace http
{

struct Target
{
    std::vector<std::string> segments; // "/" has none
    std::vector<std::pair<std::string, std::string>> parameters;
};

// Takes the origin form (/path?query) and the absolute form (http://host/path?query), which a server has to accept.
// Nothing: the target is refused, and fault says why, fit for the client's eyes.
std::optional<Target> parse_target(std::string_view text, std::string &fault);

// Whether this is valid UTF-8 as PostgreSQL understands it (no surrogates, nothing overlong) without a NUL byte.
bool storable(std::string_view text);

// Everything but letters, digits and - . _ ~ as %XX.
std::string percent_encoded(std::string_view text);

} // namespace http
