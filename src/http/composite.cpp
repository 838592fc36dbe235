#include "http/composite.hpp"

#include <bit>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <stdexcept>

namespace http
{

namespace
{

// Types of columns, by the oids that they have in every database (pg_type.dat).
enum class Type : std::uint32_t
{
    int8 = 20,
    int4 = 23,
    text = 25,
    float8 = 701,
    timestamptz = 1184,
    jsonb = 3802,
};

// Takes integers in network order, and runs of bytes, from the front.
class Reader
{
public:
    explicit Reader(std::string_view bytes) : left(bytes) {}

    std::string_view bytes(size_t count)
    {
        if (count > left.size())
            throw std::invalid_argument("a composite value ends too early");
        const std::string_view taken = left.substr(0, count);
        left.remove_prefix(count);
        return taken;
    }

    template <std::unsigned_integral Number>
    Number number()
    {
        Number value = 0;
        for (const char byte : bytes(sizeof(Number)))
            value = static_cast<Number>(value << 8U | static_cast<unsigned char>(byte));
        return value;
    }

    bool empty() const { return left.empty(); }

private:
    std::string_view left;
};

template <typename Number>
std::string digits(Number number)
{
    char text[32];
    const auto end = std::to_chars(std::begin(text), std::end(text), number).ptr;
    return {std::begin(text), end};
}

} // namespace

Composite::Composite(std::string_view bytes)
{
    Reader reader(bytes);
    const auto count = reader.number<std::uint32_t>();
    if (count > bytes.size())
        throw std::invalid_argument("a composite value has too many columns");
    columns.resize(count);
    for (Column &column : columns)
    {
        const auto type = static_cast<Type>(reader.number<std::uint32_t>());
        const auto length = reader.number<std::uint32_t>();
        if (length == UINT32_MAX)
            continue; // NULL
        column.known = true;
        Reader value(reader.bytes(length));
        switch (type)
        {
        case Type::int4:
            column.digits = digits(static_cast<std::int32_t>(value.number<std::uint32_t>()));
            break;
        case Type::int8:
        case Type::timestamptz:
            column.digits = digits(static_cast<std::int64_t>(value.number<std::uint64_t>()));
            break;
        case Type::float8:
            column.digits = digits(std::bit_cast<double>(value.number<std::uint64_t>()));
            break;
        case Type::text:
            column.text = value.bytes(length);
            break;
        case Type::jsonb:
            if (value.number<std::uint8_t>() != 1)
                throw std::invalid_argument("an unknown version of jsonb");
            column.text = value.bytes(length - 1);
            break;
        default:
            throw std::invalid_argument("a composite value has a column of an unknown type");
        }
        if (!value.empty())
            throw std::invalid_argument("a column of a composite value is too long");
    }
    if (!reader.empty())
        throw std::invalid_argument("a composite value does not end where it should");
}

std::optional<std::string_view> Composite::column(int number) const
{
    const auto place = static_cast<size_t>(number);
    if (place >= columns.size() || !columns[place].known)
        return std::nullopt;
    const Column &column = columns[place];
    return column.digits.empty() ? column.text : std::string_view(column.digits);
}

} // namespace http
