#include "fold/syntax.hpp"

#include "fold/json.hpp"
#include "fold/words.hpp"

#include <algorithm>
#include <array>

namespace fold
{

namespace
{

constexpr std::array<std::string_view, 5> event_members = {"type", "position", "stream", "occurredAt", "metadata"};
constexpr std::array<Root, 5> event_roots = {Root::type, Root::position, Root::stream, Root::occurred_at,
                                             Root::metadata};

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool begins_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool continues_name(char c)
{
    return begins_name(c) || is_digit(c) || c == '$';
}

void append_utf8(std::string &out, std::uint32_t code)
{
    if (code < 0x80)
        out.push_back(static_cast<char>(code));
    else if (code < 0x800)
    {
        out.push_back(static_cast<char>(0xC0 | code >> 6));
        out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
    else if (code < 0x10000)
    {
        out.push_back(static_cast<char>(0xE0 | code >> 12));
        out.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
        out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
    else
    {
        out.push_back(static_cast<char>(0xF0 | code >> 18));
        out.push_back(static_cast<char>(0x80 | (code >> 12 & 0x3F)));
        out.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
        out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
}

class Cursor
{
public:
    explicit Cursor(std::string_view all) : text(all) {}

    bool done() const { return at == text.size(); }
    bool sees(char c) const { return !done() && text[at] == c; }
    bool sees_name() const { return !done() && begins_name(text[at]); }
    std::size_t place() const { return at; }
    std::string_view since(std::size_t begin) const { return text.substr(begin, at - begin); }

    bool skip(char c)
    {
        if (!sees(c))
            return false;
        ++at;
        return true;
    }

    [[noreturn]] void expected(std::string_view what, std::string hint = {}) const
    {
        throw SyntaxFault{"Found " + quoted(text) + "; " + std::string(what) + " is expected " +
                              (done() ? "at its end." : "at byte " + std::to_string(at + 1) + "."),
                          std::move(hint)};
    }

    std::string_view plain_name()
    {
        const std::size_t begin = at;
        while (!done() && continues_name(text[at]))
            ++at;
        return since(begin);
    }

    // A name as it is, or in quotes.
    std::string name()
    {
        if (sees('"'))
            return quoted_name();
        if (!sees_name())
            expected("a name, in double quotes if it has other characters than letters, digits, _ and $");
        return std::string(plain_name());
    }

    std::size_t index()
    {
        constexpr std::size_t most = 2147483647;
        if (done() || !is_digit(text[at]))
            expected("an index or \"*\"");
        if (text[at] == '0' && at + 1 < text.size() && is_digit(text[at + 1]))
            expected("an index without leading zeros");
        std::size_t value = 0;
        for (; !done() && is_digit(text[at]); ++at)
        {
            value = value * 10 + static_cast<std::size_t>(text[at] - '0');
            if (value > most)
                expected("an index of at most 2147483647");
        }
        return value;
    }

    Path path();

private:
    std::uint32_t hexadecimal()
    {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; ++i, ++at)
        {
            const char c = done() ? ' ' : text[at];
            code <<= 4;
            if (is_digit(c))
                code |= static_cast<std::uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f')
                code |= static_cast<std::uint32_t>(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F')
                code |= static_cast<std::uint32_t>(c - 'A' + 10);
            else
                expected("a hexadecimal digit");
        }
        return code;
    }

    std::uint32_t unicode_escape()
    {
        const std::uint32_t first = hexadecimal();
        if (first == 0)
            expected("a character other than \\u0000");
        if (first >= 0xDC00 && first < 0xE000)
            expected("the first half of a surrogate pair before the second");
        if (first < 0xD800 || first >= 0xE000)
            return first;
        if (!skip('\\') || !skip('u'))
            expected("the second half of a surrogate pair");
        const std::uint32_t second = hexadecimal();
        if (second < 0xDC00 || second >= 0xE000)
            expected("the second half of a surrogate pair");
        return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }

    std::string quoted_name()
    {
        std::string result;
        skip('"');
        while (!skip('"'))
        {
            if (done() || static_cast<unsigned char>(text[at]) < 0x20)
                expected("a closing double quote");
            const char c = text[at++];
            if (c != '\\')
            {
                result.push_back(c);
                continue;
            }
            const char escape = done() ? ' ' : text[at++];
            switch (escape)
            {
            case '"':
            case '\\':
            case '/':
                result.push_back(escape);
                break;
            case 'b':
                result.push_back('\b');
                break;
            case 'f':
                result.push_back('\f');
                break;
            case 'n':
                result.push_back('\n');
                break;
            case 'r':
                result.push_back('\r');
                break;
            case 't':
                result.push_back('\t');
                break;
            case 'u':
                append_utf8(result, unicode_escape());
                break;
            default:
                --at;
                expected("one of JSON's escapes");
            }
        }
        return result;
    }

    Root root();

    std::string_view text;
    std::size_t at = 0;
};

Root Cursor::root()
{
    constexpr std::array<std::string_view, 3> words = {"event", "item", "state"};
    const std::size_t begin = at;
    if (!sees_name())
        return Root::data;
    const std::string_view word = plain_name();
    if (word == "item")
        return Root::item;
    if (word == "state")
        return Root::state;
    if (word != "event")
    {
        const std::string_view near = nearest(word, words);
        throw SyntaxFault{"Found " + quoted(text) +
                              "; a path begins with \"$.\" or \"$[\" (the event's data), \"$event.\", "
                              "\"$item\" or \"$state\", and a text that begins with \"$\" with \"$$\".",
                          "Perhaps you meant " +
                              quoted(near.empty() ? "$." + std::string(text.substr(begin)) : "$" + std::string(near)) +
                              "."};
    }
    if (!skip('.'))
        expected("a member of \"$event\" (" + listed(event_members) + ")");
    const std::string member = name();
    for (std::size_t i = 0; i < event_members.size(); ++i)
        if (member == event_members[i])
            return event_roots[i];
    throw SyntaxFault{"Found " + quoted(text) + "; \"$event\" has the members " + listed(event_members) + ".",
                      suggestion(member, event_members)};
}

Path Cursor::path()
{
    const std::size_t begin = at;
    if (!skip('$'))
        expected("a path, which begins with \"$\"");
    Path result;
    result.root = root();
    const bool scalar = result.root != Root::data && result.root != Root::metadata && result.root != Root::item &&
                        result.root != Root::state;
    while (sees('.') || sees('['))
    {
        if (scalar)
            expected("the end of the path, as there is nothing within " + quoted(since(begin)));
        PathSegment segment;
        if (skip('.'))
            segment.name = name();
        else
        {
            skip('[');
            if (skip('*'))
            {
                segment.sort = PathSegment::Sort::each;
                result.many = true;
            }
            else if (sees('"') || sees_name())
                expected("an index or \"*\"", "Members are written .name or .\"any name\".");
            else
            {
                segment.sort = PathSegment::Sort::index;
                segment.index = index();
            }
            if (!skip(']'))
                expected("\"]\"");
        }
        result.segments.push_back(std::move(segment));
        if (result.segments.size() > max_names)
            throw SyntaxFault{"Found a path of more than " + std::to_string(max_names) + " members and indexes.", ""};
    }
    result.text = since(begin);
    return result;
}

Path read_path(Cursor &cursor)
{
    Path path = cursor.path();
    if (!cursor.done())
        cursor.expected("\".\", \"[\" or the end",
                        path.text == "$" ? "A text that begins with \"$\" is written with \"$$\"." : "");
    return path;
}

Target read_target(Cursor &cursor, std::string_view text)
{
    Target target;
    target.text = text;
    while (target.names.empty() || !cursor.done())
    {
        TargetName name;
        if (cursor.skip('['))
        {
            if (!cursor.sees('$'))
                cursor.expected("a path", cursor.sees('"') ? "A member's name is written .\"any name\"." : "");
            Expression &computed = name.computed.emplace();
            computed.sort = Expression::Sort::path;
            computed.path = cursor.path();
            computed.text = quoted(computed.path.text);
            target.fixed = false;
            if (!cursor.skip(']'))
                cursor.expected("\"]\"");
        }
        else
        {
            if (!target.names.empty() && !cursor.skip('.'))
                cursor.expected("\".\", \"[\" or the end");
            name.name = cursor.name();
        }
        target.names.push_back(std::move(name));
        if (target.names.size() > max_names)
            throw SyntaxFault{"Found a target of more than " + std::to_string(max_names) + " names.", ""};
    }
    return target;
}

// Advice for a text that cannot be read at this byte: somebody has left the quotes of a name out, or has written an expression.
// read: whether a text can be read.
template <class Read>
std::string advice(std::string_view text, std::size_t at, Read &&read)
{
    const std::size_t dot = at == 0 ? std::string_view::npos : text.rfind('.', at - 1);
    const std::size_t begin = dot == std::string_view::npos ? 0 : dot + 1;
    const std::size_t end = std::min(text.find_first_of(".[]", at), text.size());
    const std::string_view name = text.substr(begin, end - begin);
    if (name.find_first_of("+*/()=<>") != std::string_view::npos || name.find(" - ") != std::string_view::npos ||
        name.find("-$") != std::string_view::npos)
        return "There are no expressions: let the event bring the result.";
    if (name.empty() || name.front() == '$' || name.find_first_of("\"\\[") != std::string_view::npos)
        return {};
    if (std::ranges::all_of(name, is_digit) && dot != std::string_view::npos && text.front() == '$')
        return "An element of an array is written [" + std::string(name) + "].";
    const std::string better = std::string(text.substr(0, begin)) + quoted(name) + std::string(text.substr(end));
    try
    {
        read(better);
    }
    catch (const SyntaxFault &)
    {
        return {};
    }
    std::string json;
    append_json_text(json, better);
    return "A name with other characters is quoted, and within JSON the quotes are escaped: perhaps you meant " + json +
           ".";
}

} // namespace

Path parse_path(std::string_view text)
{
    const auto read = [](std::string_view any)
    {
        Cursor cursor(any);
        read_path(cursor);
    };
    Cursor cursor(text);
    try
    {
        return read_path(cursor);
    }
    catch (SyntaxFault &fault)
    {
        if (fault.hint.empty())
            fault.hint = advice(text, cursor.place(), read);
        throw;
    }
}

Target parse_target(std::string_view text)
{
    const auto read = [](std::string_view any)
    {
        Cursor cursor(any);
        read_target(cursor, any);
    };
    Cursor cursor(text);
    try
    {
        return read_target(cursor, text);
    }
    catch (SyntaxFault &fault)
    {
        if (fault.hint.empty() && text.starts_with("$."))
            fault.hint = "A target is a member of the state and has no \"$.\" before it.";
        else if (fault.hint.empty())
            fault.hint = advice(text, cursor.place(), read);
        throw;
    }
}

} // namespace fold
