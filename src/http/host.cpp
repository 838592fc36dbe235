#include "http/host.hpp"

#include <algorithm>

#include <boost/asio/ip/address.hpp>

namespace http
{

namespace
{

bool is_port(std::string_view text)
{
    return text.empty() || (text.front() == ':' && text.find_first_not_of("0123456789", 1) == text.npos);
}

bool is_address(std::string_view text)
{
    if (text.find_first_not_of("0123456789abcdefABCDEF.:") != text.npos)
        return false; // no name of a network's interface, and nothing behind a NUL byte
    boost::system::error_code error;
    boost::asio::ip::make_address(std::string(text), error);
    return !error;
}

} // namespace

bool is_own_host(std::string_view host, const std::vector<std::string> &names)
{
    if (host.starts_with('['))
    {
        const size_t end = host.find(']');
        return end != host.npos && is_port(host.substr(end + 1)) && is_address(host.substr(1, end - 1));
    }
    const size_t colon = std::min(host.find(':'), host.size());
    if (!is_port(host.substr(colon)))
        return false;
    std::string name(host.substr(0, colon));
    if (name.ends_with('.'))
        name.pop_back();
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") != name.npos)
        return false;
    return name == "localhost" || name.ends_with(".localhost") ||
           std::find(names.begin(), names.end(), name) != names.end() || is_address(name);
}

} // namespace http
