// The part of Decimal that needs arithmetic beyond 128 bits, kept out of everybody else's compile time.
#pragma once

#include "fold/decimal.hpp"

#include <boost/multiprecision/cpp_int.hpp>

namespace fold
{

// Without expression templates, whose temporaries refer to each other.
using BigInt = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>, boost::multiprecision::et_off>;

struct Decimal::Big
{
    BigInt value;
};

inline constexpr int small_powers = 39; // 10^38 is the last that fits into 128 bits

// 10^exponent, for exponents from 0 to small_powers - 1.
Int128 small_power(int exponent);
// value * 10^exponent, unless that is beyond 128 bits.
bool shifted(Int128 value, int exponent, Int128 &result);
BigInt big_power(int exponent);
Uint128 magnitude(Int128 value);

} // namespace fold
