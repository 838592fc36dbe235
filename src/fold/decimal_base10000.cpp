// Decimals from and to the digits in which PostgreSQL stores a numeric.
#include "fold/decimal_big.hpp"

#include <algorithm>

namespace fold
{

namespace
{

constexpr int digits_per_group = 4;
constexpr int group = 10000;
constexpr std::size_t small_groups = 9; // 36 digits fit into 128 bits, whatever they are

// How many decimal digits lie between the last group's end and the last digit of the scale.
int missing_places(std::size_t groups, int weight, int dscale)
{
    return digits_per_group * (weight - static_cast<int>(groups) + 1) + dscale;
}

BigInt joined(std::span<const std::int16_t> digits)
{
    BigInt value = 0;
    while (!digits.empty())
    {
        const std::size_t now = std::min<std::size_t>(4, digits.size());
        std::uint64_t chunk = 0;
        std::uint64_t factor = 1;
        for (const std::int16_t digit : digits.first(now))
        {
            chunk = chunk * group + static_cast<std::uint64_t>(digit);
            factor *= group;
        }
        value *= factor;
        value += chunk;
        digits = digits.subspan(now);
    }
    return value;
}

} // namespace

Decimal Decimal::from_base10000(std::span<const std::int16_t> digits, int weight, bool negative, int dscale)
{
    const int shift = missing_places(digits.size(), weight, dscale);
    if (digits.size() <= small_groups)
    {
        Uint128 joined_digits = 0;
        if (digits.size() <= 4) // 64 bits are enough, and much faster
        {
            std::uint64_t few = 0;
            for (const std::int16_t digit : digits)
                few = few * group + static_cast<std::uint64_t>(digit);
            if (shift <= 0 && shift > -digits_per_group)
                few /= static_cast<std::uint64_t>(small_power(-shift));
            joined_digits = few;
        }
        else
        {
            for (const std::int16_t digit : digits)
                joined_digits = joined_digits * group + static_cast<unsigned>(digit);
            if (shift <= 0 && shift > -digits_per_group)
                joined_digits /= static_cast<Uint128>(small_power(-shift));
        }
        auto coefficient = static_cast<Int128>(joined_digits);
        if ((shift <= 0 && shift > -digits_per_group) || (shift > 0 && shifted(coefficient, shift, coefficient)))
            return of(negative ? -coefficient : coefficient, dscale);
    }
    BigInt value = joined(digits);
    if (shift >= 0)
        value *= big_power(shift);
    else
        value /= big_power(-shift);
    if (negative)
        value = -value;
    return of_big({std::move(value)}, dscale);
}

Base10000 Decimal::to_base10000() const
{
    Base10000 result;
    result.dscale = places;
    if (is_zero())
        return result;

    const int padding = (digits_per_group - places % digits_per_group) % digits_per_group;
    const int fraction_groups = (places + padding) / digits_per_group;
    Int128 aligned;
    if (!heap && shifted(coefficient(), padding, aligned))
    {
        result.negative = aligned < 0;
        Uint128 rest = magnitude(aligned);
        std::array<std::int16_t, 12> reversed;
        std::size_t count = 0;
        while (rest > ~std::uint64_t{0})
        {
            reversed[count++] = static_cast<std::int16_t>(rest % group);
            rest /= group;
        }
        for (auto few = static_cast<std::uint64_t>(rest); few != 0; few /= group)
            reversed[count++] = static_cast<std::int16_t>(few % group);
        result.weight = static_cast<int>(count) - 1 - fraction_groups;
        const auto *last =
            std::find_if(reversed.begin(), reversed.begin() + count, [](auto digit) { return digit != 0; });
        result.few_count = static_cast<std::size_t>(reversed.begin() + count - last);
        std::reverse_copy(last, static_cast<const std::int16_t *>(reversed.begin() + count), result.few.begin());
        return result;
    }

    BigInt rest = widened().value * big_power(padding);
    result.negative = rest < 0;
    if (result.negative)
        rest = -rest;
    std::vector<std::int16_t> reversed;
    constexpr std::uint64_t chunk = 10'000'000'000'000'000ULL; // four groups
    while (!rest.is_zero())
    {
        BigInt quotient;
        BigInt remainder;
        divide_qr(rest, BigInt(chunk), quotient, remainder);
        auto few = static_cast<std::uint64_t>(remainder);
        for (int i = 0; i < 4; ++i, few /= group)
            reversed.push_back(static_cast<std::int16_t>(few % group));
        rest = std::move(quotient);
    }
    while (reversed.back() == 0)
        reversed.pop_back();
    result.weight = static_cast<int>(reversed.size()) - 1 - fraction_groups;
    const auto last = std::find_if(reversed.begin(), reversed.end(), [](auto digit) { return digit != 0; });
    result.large.assign(reversed.rbegin(), std::make_reverse_iterator(last));
    return result;
}

} // namespace fold
