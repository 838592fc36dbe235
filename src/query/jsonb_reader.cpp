#include "query/jsonb_reader.hpp"

namespace query
{

namespace
{

using fold::Kind;
using fold::View;

const JsonbContainer *container_of(const View &view)
{
    return static_cast<const JsonbContainer *>(view.node);
}

std::size_t count_of(const JsonbContainer *container)
{
    return JsonContainerSize(container);
}

// Where the bytes of the entries begin.
const char *data_of(const JsonbContainer *container)
{
    const std::size_t count = count_of(container);
    return reinterpret_cast<const char *>(&container->children[JsonContainerIsObject(container) ? 2 * count : count]);
}

// The value of entry `index`, whose bytes begin at `offset`.
View value_at(const JsonbContainer *container, std::size_t index, std::uint32_t offset)
{
    const JEntry entry = container->children[index];
    const char *const data = data_of(container);
    View view;
    switch (entry & JENTRY_TYPEMASK)
    {
    case JENTRY_ISSTRING:
        view.kind = Kind::text;
        view.text = {data + offset, index > 0 && !JBE_HAS_OFF(entry)
                                        ? JBE_OFFLENFLD(entry)
                                        : getJsonbLength(container, static_cast<int>(index))};
        break;
    case JENTRY_ISNUMERIC:
        view.kind = Kind::number;
        view.node = data + INTALIGN(offset);
        break;
    case JENTRY_ISBOOL_TRUE:
        view.kind = Kind::boolean;
        view.boolean = true;
        break;
    case JENTRY_ISBOOL_FALSE:
        view.kind = Kind::boolean;
        break;
    case JENTRY_ISCONTAINER:
    {
        const auto *const inner = reinterpret_cast<const JsonbContainer *>(data + INTALIGN(offset));
        view.kind = JsonContainerIsObject(inner) ? Kind::object : Kind::array;
        view.node = inner;
        break;
    }
    default:
        view.kind = Kind::null;
        break;
    }
    return view;
}

View value_at(const JsonbContainer *container, std::size_t index)
{
    return value_at(container, index, getJsonbOffset(container, static_cast<int>(index)));
}

std::string_view name_at(const JsonbContainer *object, std::size_t index)
{
    return {data_of(object) + getJsonbOffset(object, static_cast<int>(index)),
            getJsonbLength(object, static_cast<int>(index))};
}

// numeric's two stored forms (utils/adt/numeric.c): a short header with sign, scale and weight in 16 bits, or a long one with the
// weight in 16 bits of its own. The bits are these:
constexpr std::uint16_t numeric_sign_mask = 0xC000;
constexpr std::uint16_t numeric_negative = 0x4000;
constexpr std::uint16_t numeric_short = 0x8000;
constexpr std::uint16_t short_negative = 0x2000;
constexpr std::uint16_t short_scale_mask = 0x1F80;
constexpr int short_scale_shift = 7;
constexpr std::uint16_t short_weight_sign = 0x0040;
constexpr std::uint16_t short_weight_mask = 0x003F;
constexpr std::uint16_t long_scale_mask = 0x3FFF;

fold::Decimal decimal_of(const void *numeric)
{
    const char *at = VARDATA_ANY(numeric);
    std::size_t length = VARSIZE_ANY_EXHDR(numeric);
    const auto next = [&]
    {
        std::uint16_t word;
        std::memcpy(&word, at, sizeof word);
        at += sizeof word;
        length -= sizeof word;
        return word;
    };
    const std::uint16_t header = next();
    int weight;
    int scale;
    bool negative;
    if ((header & numeric_sign_mask) == numeric_short)
    {
        weight = header & short_weight_mask;
        if (header & short_weight_sign)
            weight -= short_weight_mask + 1;
        scale = (header & short_scale_mask) >> short_scale_shift;
        negative = header & short_negative;
    }
    else
    {
        weight = static_cast<std::int16_t>(next());
        scale = header & long_scale_mask;
        negative = (header & numeric_sign_mask) == numeric_negative;
    }
    return fold::Decimal::from_base10000({reinterpret_cast<const std::int16_t *>(at), length / sizeof(std::int16_t)},
                                         weight, negative, scale);
}

fold::Value copy_at(const View &view, int levels)
{
    switch (view.kind)
    {
    case Kind::missing:
        return {};
    case Kind::null:
        return fold::Value::null();
    case Kind::boolean:
        return fold::Value::boolean(view.boolean);
    case Kind::number:
        return fold::Value::number(decimal_of(view.node));
    case Kind::text:
        return fold::Value::text(view.text);
    default:
        break;
    }
    if (levels == 0)
        throw fold::LimitError("a document is nested more than " + std::to_string(fold::max_depth) + " levels deep");
    const JsonbContainer *const container = container_of(view);
    const std::size_t count = count_of(container);
    // Each entry begins where the one before it ends.
    if (view.kind == Kind::array)
    {
        fold::Value array = fold::Value::array(count);
        std::uint32_t offset = 0;
        for (std::size_t i = 0; i < count; i++)
        {
            array.push_back(copy_at(value_at(container, i, offset), levels - 1));
            JBE_ADVANCE_OFFSET(offset, container->children[i]);
        }
        return array;
    }
    fold::Value object = fold::Value::object(count);
    std::uint32_t name_offset = 0;
    std::uint32_t value_offset = getJsonbOffset(container, static_cast<int>(count));
    const char *const data = data_of(container);
    for (std::size_t i = 0; i < count; i++)
    {
        const std::uint32_t name_begin = name_offset;
        JBE_ADVANCE_OFFSET(name_offset, container->children[i]);
        object.append_member({data + name_begin, name_offset - name_begin},
                             copy_at(value_at(container, count + i, value_offset), levels - 1));
        JBE_ADVANCE_OFFSET(value_offset, container->children[count + i]);
    }
    return object;
}

// Of few entries only the first holds an offset instead of a length, and it begins at 0: all others follow from the lengths.
constexpr std::size_t few = JB_OFFSET_STRIDE / 2;

View member_of_few(const JsonbContainer *container, std::size_t count, std::string_view name)
{
    const char *const data = data_of(container);
    std::uint32_t offset = 0;
    std::size_t found = count;
    for (std::size_t i = 0; i < count; i++)
    {
        const std::uint32_t length = JBE_OFFLENFLD(container->children[i]);
        if (length == name.size() && std::memcmp(data + offset, name.data(), length) == 0)
            found = i;
        offset += length;
    }
    if (found == count)
        return {};
    for (std::size_t i = 0; i < found; i++)
        offset += JBE_OFFLENFLD(container->children[count + i]);
    return value_at(container, count + found, offset);
}

} // namespace

View JsonbReader::member(const View &object, std::string_view name) const
{
    const JsonbContainer *const container = container_of(object);
    const std::size_t count = count_of(container);
    if (count <= few)
        return member_of_few(container, count, name);
    std::size_t low = 0;
    std::size_t high = count;
    while (low < high)
    {
        const std::size_t middle = (low + high) / 2;
        const std::string_view found = name_at(container, middle);
        if (found == name)
            return value_at(container, count + middle);
        if (fold::name_before(found, name))
            low = middle + 1;
        else
            high = middle;
    }
    return {};
}

View JsonbReader::element(const View &array, std::size_t index) const
{
    const JsonbContainer *const container = container_of(array);
    return index < count_of(container) ? value_at(container, index) : View();
}

std::size_t JsonbReader::size(const View &container) const
{
    return count_of(container_of(container));
}

std::pair<std::string_view, View> JsonbReader::member_at(const View &object, std::size_t index) const
{
    const JsonbContainer *const container = container_of(object);
    return {name_at(container, index), value_at(container, count_of(container) + index)};
}

fold::Decimal JsonbReader::number(const View &number) const
{
    return decimal_of(number.node);
}

fold::Value JsonbReader::copy(const View &view) const
{
    return copy_at(view, fold::max_depth);
}

View root_of(const Jsonb *document)
{
    const JsonbContainer *const root = &document->root;
    if (JsonContainerIsScalar(root)) // an array of one that is marked as such
        return value_at(root, 0, 0);
    View view;
    view.kind = JsonContainerIsObject(root) ? Kind::object : Kind::array;
    view.node = root;
    return view;
}

} // namespace query
