#include "fold/json.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <vector>

namespace fold
{

namespace
{

// The parser refuses numbers that its floating point type cannot hold although only their text is used: the widest.
using Json = nlohmann::basic_json<std::map, std::vector, std::string, bool, std::int64_t, std::uint64_t, long double>;

// Builds a Value from what the parser finds. The names are those that nlohmann asks for.
class Builder final : public nlohmann::json_sax<Json>
{
public:
    explicit Builder(int levels) : levels_left(levels) {}

    Value take() { return std::move(root); }

    bool null() override { return add(Value::null()); }
    bool boolean(bool value) override { return add(Value::boolean(value)); }
    bool number_integer(std::int64_t value) override { return add(Value::number(Decimal::of(value))); }
    bool number_unsigned(std::uint64_t value) override { return add(Value::number(Decimal::of(value))); }

    bool number_float(long double, const std::string &digits) override
    {
        // The parser writes the point as the locale does.
        std::string text = digits;
        for (char &c : text)
            if (std::string_view("0123456789+-eE").find(c) == std::string_view::npos)
                c = '.';
        try
        {
            std::optional<Decimal> number = Decimal::parse(text);
            if (!number)
                throw JsonError(pointer(), "\"" + text + "\" is no number");
            return add(Value::number(std::move(*number)));
        }
        catch (const LimitError &error)
        {
            throw JsonError(pointer(), error.what());
        }
    }

    bool string(std::string &text) override
    {
        if (has_nul(text))
            throw JsonError(pointer(), "a text contains \\u0000");
        return add(Value::text(text));
    }
    bool binary(Json::binary_t &) override { return false; }

    bool start_object(std::size_t) override { return open(Value::object()); }
    bool start_array(std::size_t) override { return open(Value::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(std::string &name) override
    {
        if (has_nul(name))
            throw JsonError(pointer(1), "a member's name contains \\u0000");
        if (open_ones.back().value.find(name))
        {
            open_ones.back().name = name;
            throw JsonError(pointer(), "the member comes twice");
        }
        open_ones.back().name = name;
        return true;
    }

    bool parse_error(std::size_t position, const std::string &, const nlohmann::detail::exception &error) override
    {
        constexpr int number_overflow = 406;
        if (error.id == number_overflow)
            throw JsonError(pointer(), "a number has more than 4932 digits before the point");
        std::string what =
            error.what(); // [json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..
        if (const std::size_t end = what.find("] "); end != std::string::npos)
            what.erase(0, end + 2);
        throw JsonError("", "no JSON at byte " + std::to_string(position) + ": " + what);
    }

private:
    struct Open
    {
        Value value;
        std::string name; // of the member that is being read
    };

    // Of what is being read, or of what it is in.
    std::string pointer(std::size_t without = 0) const
    {
        std::string result;
        for (std::size_t i = 0; i + without < open_ones.size(); ++i)
        {
            const Open &open = open_ones[i];
            append_pointer(result, open.value.is(Kind::object) ? open.name : std::to_string(open.value.size()));
        }
        return result;
    }

    static bool has_nul(const std::string &text) { return text.find('\0') != std::string::npos; }

    bool open(Value container)
    {
        if (levels_left-- == 0)
            throw JsonError(pointer(), "it is nested too deeply");
        open_ones.push_back({std::move(container), {}});
        return true;
    }

    bool close()
    {
        ++levels_left;
        Value value = std::move(open_ones.back().value);
        open_ones.pop_back();
        return add(std::move(value));
    }

    bool add(Value value)
    {
        if (open_ones.empty())
            root = std::move(value);
        else if (open_ones.back().value.is(Kind::object))
            open_ones.back().value.put(open_ones.back().name, std::move(value));
        else
            open_ones.back().value.push_back(std::move(value));
        return true;
    }

    Value root;
    std::vector<Open> open_ones;
    int levels_left;
};

} // namespace

Value parse_json(std::string_view text, int levels)
{
    Builder builder(levels);
    Json::sax_parse(text, &builder);
    return builder.take();
}

void append_json_text(std::string &out, std::string_view text)
{
    constexpr std::string_view hex = "0123456789abcdef";
    out.push_back('"');
    for (const char c : text)
    {
        switch (c)
        {
        case '"':
            out += "\\\"";
            break;
        case '\\':
            out += "\\\\";
            break;
        case '\b':
            out += "\\b";
            break;
        case '\f':
            out += "\\f";
            break;
        case '\n':
            out += "\\n";
            break;
        case '\r':
            out += "\\r";
            break;
        case '\t':
            out += "\\t";
            break;
        default:
            if (static_cast<unsigned char>(c) < 0x20)
            {
                out += "\\u00";
                out.push_back(hex[static_cast<unsigned char>(c) >> 4]);
                out.push_back(hex[c & 0xf]);
            }
            else
                out.push_back(c);
        }
    }
    out.push_back('"');
}

void append_json(std::string &out, const Value &value)
{
    switch (value.kind())
    {
    case Kind::missing:
    case Kind::null:
        out += "null";
        break;
    case Kind::boolean:
        out += value.boolean() ? "true" : "false";
        break;
    case Kind::number:
        value.number().append_to(out);
        break;
    case Kind::text:
        append_json_text(out, value.text());
        break;
    case Kind::array:
    {
        char before = '[';
        for (const Value &element : value.elements())
        {
            out.push_back(std::exchange(before, ','));
            append_json(out, element);
        }
        out += value.empty() ? "[]" : "]";
        break;
    }
    case Kind::object:
    {
        char before = '{';
        for (const Value::Member &member : value.members())
        {
            out.push_back(std::exchange(before, ','));
            append_json_text(out, member.name());
            out.push_back(':');
            append_json(out, member.value);
        }
        out += value.empty() ? "{}" : "}";
        break;
    }
    }
}

std::string to_json(const Value &value)
{
    std::string out;
    append_json(out, value);
    return out;
}

void append_pointer(std::string &pointer, std::string_view name)
{
    pointer.push_back('/');
    for (const char c : name)
    {
        if (c == '~')
            pointer += "~0";
        else if (c == '/')
            pointer += "~1";
        else
            pointer.push_back(c);
    }
}

} // namespace fold
