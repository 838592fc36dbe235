#include "fold/decimal.hpp"

#include "fold/allocated.hpp"
#include "fold/decimal_big.hpp"

#include <algorithm>
#include <charconv>
#include <memory>

namespace fold
{

namespace
{

[[noreturn]] void beyond_numeric()
{
    throw LimitError("a number is beyond the range of numeric: at most 131072 digits before and 16383 after the point");
}

constexpr std::array<Int128, small_powers> powers = []
{
    std::array<Int128, small_powers> table{};
    Int128 power = 1;
    for (int i = 0; i < small_powers; ++i)
    {
        table[i] = power;
        if (i + 1 < small_powers)
            power *= 10;
    }
    return table;
}();

void check_range(const BigInt &coefficient, int scale)
{
    if (coefficient.is_zero())
        return;
    BigInt absolute = coefficient;
    if (absolute < 0)
        absolute.backend().negate();
    // A digit has 3.3219 bits: far from the limit nothing needs to be counted.
    const double digits = static_cast<double>(msb(absolute)) * 0.30103;
    if (digits < Decimal::max_integer_digits + scale - 2)
        return;
    if (absolute >= big_power(Decimal::max_integer_digits + scale))
        beyond_numeric();
}

// The decimal digits of value, with the point scale digits before their end.
void append_digits(std::string &out, std::string_view digits, int scale)
{
    const auto places = static_cast<std::size_t>(scale);
    if (digits.size() > places)
        out.append(digits.substr(0, digits.size() - places));
    else
        out.push_back('0');
    if (places == 0)
        return;
    out.push_back('.');
    if (digits.size() < places)
        out.append(places - digits.size(), '0');
    out.append(digits.size() > places ? digits.substr(digits.size() - places) : digits);
}

// Writes the digits of value so that they end at end; returns their begin.
char *write_digits(Uint128 value, char *end)
{
    constexpr std::uint64_t chunk = 10'000'000'000'000'000'000ULL; // 10^19
    char *begin = end;
    while (value > chunk - 1)
    {
        auto rest = static_cast<std::uint64_t>(value % chunk);
        value /= chunk;
        for (int i = 0; i < 19; ++i, rest /= 10)
            *--begin = static_cast<char>('0' + rest % 10);
    }
    auto rest = static_cast<std::uint64_t>(value);
    do
        *--begin = static_cast<char>('0' + rest % 10);
    while ((rest /= 10) != 0);
    return begin;
}

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// A JSON number taken apart.
struct Literal
{
    bool negative = false;
    std::string_view whole;
    std::string_view fraction;
    std::int64_t exponent = 0;
};

std::optional<Literal> take_apart(std::string_view text)
{
    Literal literal;
    const char *at = text.data();
    const char *end = at + text.size();
    const auto digits = [&]
    {
        const char *begin = at;
        while (at != end && is_digit(*at))
            ++at;
        return std::string_view(begin, static_cast<std::size_t>(at - begin));
    };
    if (at != end && *at == '-')
    {
        literal.negative = true;
        ++at;
    }
    literal.whole = digits();
    if (literal.whole.empty() || (literal.whole.size() > 1 && literal.whole.front() == '0'))
        return std::nullopt;
    if (at != end && *at == '.')
    {
        ++at;
        literal.fraction = digits();
        if (literal.fraction.empty())
            return std::nullopt;
    }
    if (at != end && (*at == 'e' || *at == 'E'))
    {
        ++at;
        const bool negative = at != end && *at == '-';
        if (at != end && (*at == '-' || *at == '+'))
            ++at;
        const std::string_view exponent = digits();
        if (exponent.empty())
            return std::nullopt;
        constexpr std::int64_t enough = 1'000'000'000; // beyond all limits, and far from an overflow
        for (const char digit : exponent)
            literal.exponent = std::min(enough, literal.exponent * 10 + (digit - '0'));
        if (negative)
            literal.exponent = -literal.exponent;
    }
    if (at != end)
        return std::nullopt;
    return literal;
}

} // namespace

Int128 small_power(int exponent)
{
    return powers[static_cast<std::size_t>(exponent)];
}

bool shifted(Int128 value, int exponent, Int128 &result)
{
    if (value == 0)
    {
        result = 0;
        return true;
    }
    return exponent < small_powers && !__builtin_mul_overflow(value, small_power(exponent), &result);
}

BigInt big_power(int exponent)
{
    return pow(BigInt(10), static_cast<unsigned>(exponent));
}

Uint128 magnitude(Int128 value)
{
    return value < 0 ? Uint128{0} - static_cast<Uint128>(value) : static_cast<Uint128>(value);
}

Decimal Decimal::of(Int128 coefficient, int scale)
{
    if (scale < 0 || scale > max_scale)
        beyond_numeric();
    Decimal result;
    result.low = static_cast<std::uint64_t>(coefficient);
    result.high = static_cast<std::uint64_t>(static_cast<Uint128>(coefficient) >> 64);
    result.places = scale;
    return result;
}

Decimal Decimal::of_big(Big &&big, int scale)
{
    constexpr Int128 largest = static_cast<Int128>(~Uint128{0} >> 1);
    if (scale > max_scale)
        beyond_numeric();
    if (big.value >= -BigInt(largest) - 1 && big.value <= BigInt(largest))
        return of(static_cast<Int128>(big.value), scale);
    check_range(big.value, scale);
    Decimal result;
    result.low = reinterpret_cast<std::uint64_t>(new Big(std::move(big)));
    result.places = scale;
    result.heap = true;
    return result;
}

Decimal::Decimal(const Decimal &other) : low(other.low), high(other.high), places(other.places), heap(other.heap)
{
    if (heap)
        low = reinterpret_cast<std::uint64_t>(new Big(other.big()));
}

Decimal &Decimal::operator=(const Decimal &other)
{
    if (this != &other)
        *this = Decimal(other);
    return *this;
}

void Decimal::release() noexcept
{
    delete reinterpret_cast<Big *>(low);
    heap = false;
}

Decimal::Big Decimal::widened() const
{
    return heap ? big() : Big{BigInt(coefficient())};
}

std::optional<Decimal> Decimal::parse(std::string_view text)
{
    const std::optional<Literal> literal = take_apart(text);
    if (!literal)
        return std::nullopt;
    const auto fraction = static_cast<std::int64_t>(literal->fraction.size());
    const std::int64_t scale = std::max<std::int64_t>(0, fraction - literal->exponent);
    if (scale > max_scale)
        beyond_numeric();

    std::string_view whole = literal->whole;
    std::string_view rest = literal->fraction;
    if (whole == "0")
    {
        whole = {};
        rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of('0')));
    }
    const auto digits = static_cast<std::int64_t>(whole.size() + rest.size());
    if (digits == 0)
        return of(0, static_cast<int>(scale));
    const std::int64_t zeros = std::max<std::int64_t>(0, literal->exponent - fraction);
    if (digits + zeros - scale > max_integer_digits)
        beyond_numeric();

    if (digits + zeros < small_powers)
    {
        Int128 coefficient = 0;
        for (const char digit : whole)
            coefficient = coefficient * 10 + (digit - '0');
        for (const char digit : rest)
            coefficient = coefficient * 10 + (digit - '0');
        coefficient *= small_power(static_cast<int>(zeros));
        return of(literal->negative ? -coefficient : coefficient, static_cast<int>(scale));
    }
    std::string all;
    all.reserve(static_cast<std::size_t>(digits + zeros));
    all.append(whole).append(rest).append(static_cast<std::size_t>(zeros), '0');
    // Boost would read a leading zero as the sign of octal digits; there is none here.
    BigInt coefficient(all);
    return of_big({literal->negative ? BigInt(-coefficient) : std::move(coefficient)}, static_cast<int>(scale));
}

std::string Decimal::text() const
{
    std::string out;
    append_to(out);
    return out;
}

void Decimal::append_to(std::string &out) const
{
    if (heap)
    {
        const BigInt &value = big().value;
        if (value < 0)
            out.push_back('-');
        append_digits(out, BigInt(abs(value)).str(), places);
        return;
    }
    char buffer[40];
    char *const end = buffer + sizeof buffer;
    const Int128 value = coefficient();
    if (value < 0)
        out.push_back('-');
    const char *begin = write_digits(magnitude(value), end);
    append_digits(out, {begin, static_cast<std::size_t>(end - begin)}, places);
}

Decimal::Big Decimal::widened(int scale) const
{
    Big big = widened();
    if (places < scale)
        big.value *= big_power(scale - places);
    return big;
}

void Decimal::add_slowly(const Decimal &other)
{
    const int scale = std::max(places, other.places);
    if (!heap && !other.heap)
    {
        Int128 a;
        Int128 b;
        Int128 sum;
        if (shifted(coefficient(), scale - places, a) && shifted(other.coefficient(), scale - other.places, b) &&
            !__builtin_add_overflow(a, b, &sum))
        {
            *this = of(sum, scale);
            return;
        }
    }
    Big sum = widened(scale);
    sum.value += other.widened(scale).value;
    *this = of_big(std::move(sum), scale);
}

std::strong_ordering Decimal::compare_slowly(const Decimal &other) const
{
    const int scale = std::max(places, other.places);
    if (!heap && !other.heap)
    {
        Int128 a;
        Int128 b;
        if (shifted(coefficient(), scale - places, a) && shifted(other.coefficient(), scale - other.places, b))
            return a <=> b;
    }
    return widened(scale).value.compare(other.widened(scale).value) <=> 0;
}

std::size_t Decimal::heap_bytes() const
{
    if (!heap)
        return 0;
    const std::size_t limbs = big().value.backend().size() * sizeof(boost::multiprecision::limb_type);
    return allocated(sizeof(Big)) + (limbs > 2 * sizeof(std::uint64_t) ? allocated(limbs) : 0);
}

} // namespace fold
