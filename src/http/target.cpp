#include "http/target.hpp"

#include <algorithm>

namespace http
{

namespace
{

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

// In parameters a plus sign is a blank, as forms and URLSearchParams write it; in a path it is a plus sign.
enum class Part
{
    path,
    parameters,
};

bool decode(std::string_view text, Part part, std::string &result, std::string &fault)
{
    result.clear();
    result.reserve(text.size());
    for (size_t at = 0; at < text.size(); at++)
    {
        const char c = text[at];
        if (c == '+' && part == Part::parameters)
            result += ' ';
        else if (c != '%')
            result += c;
        else
        {
            const int high = at + 2 < text.size() ? hex_digit(text[at + 1]) : -1;
            const int low = at + 2 < text.size() ? hex_digit(text[at + 2]) : -1;
            if (high < 0 || low < 0)
            {
                fault = "a percent sign in the target is not followed by two hexadecimal digits";
                return false;
            }
            result += static_cast<char>(high * 16 + low);
            at += 2;
        }
    }
    if (!storable(result))
    {
        fault = "the target is not valid UTF-8, or contains a NUL byte";
        return false;
    }
    return true;
}

bool decode_parameters(std::string_view text, Target &target, std::string &fault)
{
    while (!text.empty())
    {
        const size_t end = std::min(text.find('&'), text.size());
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty())
            continue;
        const size_t equals = std::min(pair.find('='), pair.size());
        auto &[name, value] = target.parameters.emplace_back();
        if (!decode(pair.substr(0, equals), Part::parameters, name, fault) ||
            !decode(pair.substr(std::min(equals + 1, pair.size())), Part::parameters, value, fault))
            return false;
    }
    return true;
}

// The scheme and the authority of an absolute form say nothing that we need: there is one site.
bool drop_authority(std::string_view &text)
{
    for (const std::string_view scheme : {"http://", "https://"})
    {
        const bool same =
            text.size() >= scheme.size() &&
            std::equal(scheme.begin(), scheme.end(), text.begin(),
                       [](char expected, char c) { return expected == (c >= 'A' && c <= 'Z' ? c + 32 : c); });
        if (same)
        {
            text.remove_prefix(scheme.size());
            text.remove_prefix(std::min(text.find_first_of("/?"), text.size()));
            return true;
        }
    }
    return false;
}

} // namespace

std::optional<Target> parse_target(std::string_view text, std::string &fault)
{
    const bool absolute = drop_authority(text);
    text = text.substr(0, text.find('#'));
    std::optional<Target> target(std::in_place);
    const size_t question = std::min(text.find('?'), text.size());
    std::string_view path = text.substr(0, question);
    text.remove_prefix(std::min(question + 1, text.size()));
    if (path.empty() ? !absolute : path.front() != '/')
    {
        fault = "the target is not a path";
        return std::nullopt;
    }
    if (path.size() > 1)
    {
        path.remove_prefix(1);
        for (bool more = true; more;)
        {
            const size_t slash = path.find('/');
            more = slash != path.npos;
            if (!decode(path.substr(0, slash), Part::path, target->segments.emplace_back(), fault))
                return std::nullopt;
            if (more)
                path.remove_prefix(slash + 1);
        }
    }
    if (!decode_parameters(text, *target, fault))
        return std::nullopt;
    return target;
}

bool storable(std::string_view text)
{
    for (size_t at = 0; at < text.size();)
    {
        const auto byte = [&](size_t ahead)
        { return at + ahead < text.size() ? static_cast<unsigned char>(text[at + ahead]) : 0u; };
        const auto follows = [&](size_t ahead) { return (byte(ahead) & 0xc0) == 0x80; };
        const unsigned first = byte(0);
        if (first == 0)
            return false;
        if (first < 0x80)
            at += 1;
        else if (first >= 0xc2 && first <= 0xdf && follows(1))
            at += 2;
        else if (first >= 0xe0 && first <= 0xef && follows(1) && follows(2))
        {
            if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f))
                return false;
            at += 3;
        }
        else if (first >= 0xf0 && first <= 0xf4 && follows(1) && follows(2) && follows(3))
        {
            if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f))
                return false;
            at += 4;
        }
        else
            return false;
    }
    return true;
}

std::string percent_encoded(std::string_view text)
{
    constexpr char digits[] = "0123456789ABCDEF";
    std::string result;
    for (const char c : text)
    {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
            c == '_' || c == '~')
            result += c;
        else
        {
            result += '%';
            result += digits[static_cast<unsigned char>(c) >> 4];
            result += digits[static_cast<unsigned char>(c) & 15];
        }
    }
    return result;
}

} // namespace http
