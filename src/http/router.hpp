// Which handler answers which path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/request.hpp"

namespace http
{

enum class Access
{
    guarded, // asks for the token, where there is one
    open,    // anybody may ask: it tells nothing
};

struct Route
{
    std::string pattern; // "/queries/{name}/{id}": also its label in the metrics
    Access access;
    Handler handler;
    std::vector<std::string> segments;
};

class Router
{
public:
    // Routes are tried in the order in which they are added.
    void add(std::string_view pattern, Access access, Handler handler);
    // The route, or null; the segments that stand for {..} are moved to the request's captured ones.
    const Route *find(Request &request) const;

private:
    std::vector<Route> routes;
};

} // namespace http
