#include "query/jsonb_encoder.hpp"

namespace query
{

namespace
{

using fold::Kind;
using fold::Value;

constexpr const char *too_large = "the state is too large for jsonb";

// Everything that is aligned is so relative to the datum's beginning.
void pad(std::string &out, std::size_t begin)
{
    while ((out.size() - begin) % sizeof(std::uint32_t) != 0)
        out.push_back('\0');
}

// numeric's stored forms, as jsonb_reader.cpp reads them: the short one where scale and weight fit in.
void append_numeric(std::string &out, const fold::Decimal &number)
{
    const fold::Base10000 parts = number.to_base10000();
    const auto digits = parts.digits();
    const bool is_short = parts.dscale <= 63 && parts.weight >= -64 && parts.weight <= 63;
    const std::size_t size = VARHDRSZ + (is_short ? 2 : 4) + digits.size() * sizeof(std::int16_t);
    std::uint32_t header;
    SET_VARSIZE(&header, size);
    out.append(reinterpret_cast<const char *>(&header), sizeof header);
    const auto word = [&](int bits)
    {
        const auto value = static_cast<std::uint16_t>(bits);
        out.append(reinterpret_cast<const char *>(&value), sizeof value);
    };
    if (is_short)
        word(0x8000 | (parts.negative ? 0x2000 : 0) | (parts.dscale << 7) | (parts.weight < 0 ? 0x0040 : 0) |
             (parts.weight & 0x003F));
    else
    {
        word((parts.negative ? 0x4000 : 0) | parts.dscale);
        word(parts.weight);
    }
    out.append(reinterpret_cast<const char *>(digits.data()), digits.size() * sizeof(std::int16_t));
}

// Writes the entries of one container: lengths, but at every JB_OFFSET_STRIDE'th entry the end's offset.
class Entries
{
public:
    Entries(std::string &out_, std::uint32_t header, std::size_t count) : out(out_), at(out_.size() + sizeof header)
    {
        out.append(reinterpret_cast<const char *>(&header), sizeof header);
        out.append(count * sizeof(JEntry), '\0');
        data = out.size();
        last = data;
    }

    // The bytes since the last entry are the next one's.
    void add(std::uint32_t kind)
    {
        const std::size_t end = out.size() - data;
        if (end > JENTRY_OFFLENMASK)
            throw fold::LimitError(too_large);
        const JEntry entry = index % JB_OFFSET_STRIDE == 0 ? (kind | static_cast<std::uint32_t>(end) | JENTRY_HAS_OFF)
                                                           : (kind | static_cast<std::uint32_t>(out.size() - last));
        std::memcpy(out.data() + at + index * sizeof entry, &entry, sizeof entry);
        last = out.size();
        index++;
    }

private:
    std::string &out;
    std::size_t at;
    std::size_t data;
    std::size_t last;
    std::size_t index = 0;
};

void append_container(std::string &out, std::size_t begin, const Value &value);

std::uint32_t append_value(std::string &out, std::size_t begin, const Value &value)
{
    switch (value.kind())
    {
    case Kind::boolean:
        return value.boolean() ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
    case Kind::number:
        pad(out, begin);
        append_numeric(out, value.number());
        return JENTRY_ISNUMERIC;
    case Kind::text:
        out.append(value.text());
        return JENTRY_ISSTRING;
    case Kind::array:
    case Kind::object:
        pad(out, begin);
        append_container(out, begin, value);
        return JENTRY_ISCONTAINER;
    default:
        return JENTRY_ISNULL;
    }
}

void append_container(std::string &out, std::size_t begin, const Value &value)
{
    const std::size_t count = value.size();
    if (count > JB_CMASK)
        throw fold::LimitError(too_large);
    if (value.is(Kind::array))
    {
        Entries entries(out, static_cast<std::uint32_t>(count) | JB_FARRAY, count);
        for (const Value &element : value.elements())
            entries.add(append_value(out, begin, element));
        return;
    }
    Entries entries(out, static_cast<std::uint32_t>(count) | JB_FOBJECT, 2 * count);
    for (const Value::Member &member : value.members())
    {
        out.append(member.name());
        entries.add(JENTRY_ISSTRING);
    }
    for (const Value::Member &member : value.members())
        entries.add(append_value(out, begin, member.value));
}

} // namespace

void encode_jsonb(const fold::Value &value, std::string &out)
{
    const std::size_t begin = out.size();
    out.append(VARHDRSZ, '\0');
    append_container(out, begin, value);
    if (out.size() - begin > MaxAllocSize)
        throw fold::LimitError(too_large);
    SET_VARSIZE(out.data() + begin, out.size() - begin);
}

} // namespace query
