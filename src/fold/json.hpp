// JSON text to values and back. For specs, tests and messages; states go to and from jsonb without text.
#pragma once

#include "fold/value.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

namespace fold
{

class JsonError : public std::runtime_error
{
public:
    JsonError(std::string where, const std::string &what) : std::runtime_error(what), pointer(std::move(where)) {}

    std::string pointer; // RFC 6901
};

// Throws a JsonError for what is no JSON, for a member that comes twice, for \u0000, and beyond so many levels. Numbers
// keep every digit.
Value parse_json(std::string_view text, int levels = max_depth);

// Without whitespace; members in jsonb's order.
void append_json(std::string &out, const Value &value);
std::string to_json(const Value &value);
void append_json_text(std::string &out, std::string_view text); // quoted

// Appends "/name" with RFC 6901's escapes.
void append_pointer(std::string &pointer, std::string_view name);

} // namespace fold
