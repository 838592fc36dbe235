#include "http/router.hpp"

namespace http
{

namespace
{

bool stands_for_any(const std::string &segment)
{
    return segment.starts_with('{');
}

bool fits(const std::vector<std::string> &pattern, const std::vector<std::string> &segments)
{
    if (pattern.size() != segments.size())
        return false;
    for (size_t i = 0; i < pattern.size(); i++)
    {
        if (!stands_for_any(pattern[i]) && pattern[i] != segments[i])
            return false;
    }
    return true;
}

} // namespace

void Router::add(std::string_view pattern, Access access, Handler handler)
{
    Route &route = routes.emplace_back(Route{std::string(pattern), access, std::move(handler), {}});
    for (pattern.remove_prefix(1); !pattern.empty();)
    {
        const size_t slash = pattern.find('/');
        route.segments.emplace_back(pattern.substr(0, slash));
        pattern.remove_prefix(slash == pattern.npos ? pattern.size() : slash + 1);
    }
}

const Route *Router::find(Request &request) const
{
    for (const Route &route : routes)
    {
        if (!fits(route.segments, request.target.segments))
            continue;
        for (size_t i = 0; i < route.segments.size(); i++)
        {
            if (stands_for_any(route.segments[i]))
                request.captured.push_back(std::move(request.target.segments[i]));
        }
        return &route;
    }
    return nullptr;
}

} // namespace http
