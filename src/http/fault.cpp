#include "http/fault.hpp"

namespace http
{

std::string fault_of(const ReadResult &result)
{
    switch (result.kind)
    {
    case ReadResult::Kind::rows:
        return {};
    case ReadResult::Kind::unavailable:
        return "no_connection";
    case ReadResult::Kind::overloaded:
    case ReadResult::Kind::no_turn:
        return "busy";
    case ReadResult::Kind::error:
        break;
    }
    if (result.sqlstate == "57014")
        return "timeout";
    if (result.sqlstate == "42501")
        return "permission";
    if (result.sqlstate == "42883" || result.sqlstate == "3F000")
        return "no_extension";
    return "error: SQLSTATE " + result.sqlstate;
}

} // namespace http
