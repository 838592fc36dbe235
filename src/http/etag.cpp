#include "http/etag.hpp"

#include <algorithm>

namespace http
{

std::string entity_tag(std::string_view generation, std::string_view definition_hash, std::string_view position,
                       std::string_view updated_at)
{
    std::string tag = "\"";
    tag.append(generation).append("-").append(definition_hash.substr(0, 8)).append("-").append(position).append("-");
    for (const char c : updated_at)
    {
        if (c >= '0' && c <= '9')
            tag += c;
    }
    return tag + "\"";
}

bool matches(std::string_view if_none_match, std::string_view etag)
{
    const auto skip = [&](std::string_view characters)
    { if_none_match.remove_prefix(std::min(if_none_match.find_first_not_of(characters), if_none_match.size())); };
    skip(" \t");
    if (if_none_match.substr(0, 1) == "*")
        return true;
    for (;;)
    {
        skip(" \t,");
        if (if_none_match.starts_with("W/"))
            if_none_match.remove_prefix(2);
        if (!if_none_match.starts_with('"'))
            return false;
        const size_t end = if_none_match.find('"', 1);
        if (end == if_none_match.npos)
            return false;
        if (if_none_match.substr(0, end + 1) == etag)
            return true;
        if_none_match.remove_prefix(end + 1);
    }
}

} // namespace http
