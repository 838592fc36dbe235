// Decimal: an exact number with a scale, as PostgreSQL's numeric.
//
// The scale is the number of digits that are printed after the point: 1.0 and 1 are equal but not identical, and a sum
// takes the larger scale of its two numbers. Coefficients within 128 bits lie in the object itself, and all arithmetic
// on them is inline; larger ones are on the heap, up to numeric's limits, beyond which a LimitError is thrown. NaN and
// infinity cannot be represented: JSON has none.
//
//     Decimal total = *Decimal::parse("19.90");
//     total += *Decimal::parse("0.1");          // total.text() == "20.00"
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fold
{

using Int128 = __int128;
using Uint128 = unsigned __int128;

// Something is larger than PostgreSQL could store.
class LimitError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

// The digits of a numeric as PostgreSQL stores them: base 10000, the first one counts 10000^weight, without leading and
// trailing zeros; zero has none, and weight 0.
class Base10000
{
public:
    std::span<const std::int16_t> digits() const
    {
        return large.empty() ? std::span<const std::int16_t>(few.data(), few_count)
                             : std::span<const std::int16_t>(large);
    }

    int weight = 0;
    bool negative = false;
    int dscale = 0;

private:
    friend class Decimal;
    std::array<std::int16_t, 12> few{};
    std::size_t few_count = 0;
    std::vector<std::int16_t> large;
};

class Decimal
{
public:
    static constexpr int max_scale = 16383;           // digits after the point
    static constexpr int max_integer_digits = 131072; // digits before it

    Decimal() = default; // 0
    Decimal(const Decimal &other);
    Decimal(Decimal &&other) noexcept;
    Decimal &operator=(const Decimal &other);
    Decimal &operator=(Decimal &&other) noexcept;
    ~Decimal();

    // Scale is from 0 to max_scale.
    static Decimal of(Int128 coefficient, int scale = 0);
    // JSON's syntax for numbers; nothing if it is anything else. 1.50e1 is 15.0, as PostgreSQL reads it.
    static std::optional<Decimal> parse(std::string_view text);
    static Decimal from_base10000(std::span<const std::int16_t> digits, int weight, bool negative, int dscale);
    Base10000 to_base10000() const;

    // Whether the coefficient fits into 128 bits; if and only if it does, it is held that way.
    bool small() const { return !heap; }
    Int128 coefficient() const; // only of small ones
    int scale() const { return places; }
    bool is_zero() const { return !heap && low == 0 && high == 0; }

    std::string text() const;
    void append_to(std::string &out) const;

    Decimal &operator+=(const Decimal &other);
    // By value: 1 and 1.0 are equal.
    std::strong_ordering compare(const Decimal &other) const;
    // By value and scale.
    bool identical(const Decimal &other) const;
    bool operator==(const Decimal &other) const { return std::is_eq(compare(other)); }

    // Memory outside of the object.
    std::size_t heap_bytes() const;

private:
    friend class Value;
    struct Big; // a coefficient beyond 128 bits

    static Decimal of_big(Big &&big, int scale); // brings it into 128 bits where it fits
    const Big &big() const { return *reinterpret_cast<const Big *>(low); }
    Big widened() const;
    Big widened(int scale) const; // with so many places, no fewer than it has
    void release() noexcept;
    void add_slowly(const Decimal &other);
    std::strong_ordering compare_slowly(const Decimal &other) const;

    // Two halves rather than one Int128, which would make every Value 16-byte aligned. A Big's address is in low.
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::int32_t places = 0;
    bool heap = false;
};

inline Int128 Decimal::coefficient() const
{
    return static_cast<Int128>((static_cast<Uint128>(high) << 64) | low);
}

inline Decimal::Decimal(Decimal &&other) noexcept
    : low(other.low),
      high(other.high),
      places(other.places),
      heap(std::exchange(other.heap, false))
{
}

inline Decimal &Decimal::operator=(Decimal &&other) noexcept
{
    if (this != &other)
    {
        if (heap)
            release();
        low = other.low;
        high = other.high;
        places = other.places;
        heap = std::exchange(other.heap, false);
    }
    return *this;
}

inline Decimal::~Decimal()
{
    if (heap)
        release();
}

inline Decimal &Decimal::operator+=(const Decimal &other)
{
    Int128 sum;
    if (heap || other.heap || places != other.places ||
        __builtin_add_overflow(coefficient(), other.coefficient(), &sum))
    {
        add_slowly(other);
        return *this;
    }
    low = static_cast<std::uint64_t>(sum);
    high = static_cast<std::uint64_t>(static_cast<Uint128>(sum) >> 64);
    return *this;
}

inline std::strong_ordering Decimal::compare(const Decimal &other) const
{
    if (heap || other.heap || places != other.places)
        return compare_slowly(other);
    const Int128 a = coefficient();
    const Int128 b = other.coefficient();
    return a < b ? std::strong_ordering::less : a > b ? std::strong_ordering::greater : std::strong_ordering::equal;
}

inline bool Decimal::identical(const Decimal &other) const
{
    return places == other.places && std::is_eq(compare(other));
}

} // namespace fold
