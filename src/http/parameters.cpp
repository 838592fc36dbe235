#include "http/parameters.hpp"

#include <charconv>

namespace http
{

std::vector<std::string> ParameterReader::texts(std::string_view name)
{
    std::vector<std::string> values;
    for (size_t i = 0; i < given.size(); i++)
    {
        if (given[i].first == name)
        {
            seen[i] = true;
            values.push_back(given[i].second);
        }
    }
    return values;
}

std::optional<std::string> ParameterReader::text(std::string_view name)
{
    const std::vector<std::string> values = texts(name);
    if (values.size() > 1)
        complain("the parameter \"" + std::string(name) + "\" is given more than once");
    if (values.size() != 1)
        return std::nullopt;
    return values.front();
}

std::optional<std::string> ParameterReader::hash(std::string_view name)
{
    auto value = text(name);
    if (value && (value->size() != 64 || value->find_first_not_of("0123456789abcdef") != value->npos))
        complain("the parameter \"" + std::string(name) + "\" is not 64 hexadecimal digits in lower case");
    return value;
}

std::optional<std::int64_t> ParameterReader::number(std::string_view name, std::int64_t least, std::int64_t most)
{
    const auto value = text(name);
    if (!value)
        return std::nullopt;
    std::int64_t result = 0;
    const char *const end = value->data() + value->size();
    const auto [stopped, error] = std::from_chars(value->data(), end, result);
    if (error != std::errc() || stopped != end || result < least || result > most)
    {
        complain("the parameter \"" + std::string(name) + "\" is not a whole number from " + std::to_string(least) +
                 " to " + std::to_string(most));
        return std::nullopt;
    }
    return result;
}

std::string ParameterReader::fault()
{
    for (size_t i = 0; i < given.size(); i++)
    {
        if (!seen[i])
            complain("there is no parameter \"" + given[i].first + "\" here");
    }
    return first_fault;
}

void ParameterReader::complain(std::string text)
{
    if (first_fault.empty())
        first_fault = std::move(text);
}

} // namespace http
