// Decimals print, add and compare as numeric does. The expected texts are PostgreSQL's.
#include "fold/decimal.hpp"

#include <boost/multiprecision/cpp_int.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

using cpp_int = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>, boost::multiprecision::et_off>;
using fold::Decimal;
using fold::Int128;

namespace
{

Decimal number(std::string_view text)
{
    return *Decimal::parse(text);
}

std::string sum(std::string_view a, std::string_view b)
{
    Decimal result = number(a);
    result += number(b);
    return result.text();
}

// A number as whole = value * 10^scale: the model to compare with.
struct Model
{
    cpp_int whole;
    int scale = 0;

    std::string text() const
    {
        std::string digits = cpp_int(abs(whole)).str();
        if (digits.size() <= static_cast<std::size_t>(scale))
            digits.insert(0, static_cast<std::size_t>(scale) + 1 - digits.size(), '0');
        if (scale > 0)
            digits.insert(digits.size() - static_cast<std::size_t>(scale), ".");
        return (whole < 0 ? "-" : "") + digits;
    }
};

cpp_int at_scale(const Model &model, int scale)
{
    return model.whole * pow(cpp_int(10), static_cast<unsigned>(scale - model.scale));
}

Model random_model(std::mt19937_64 &random)
{
    // Most are small; some are about as large as 128 bits, and some far beyond.
    const int limbs = std::array{1, 1, 1, 2, 2, 4}[random() % 6];
    cpp_int whole = 0;
    for (int i = 0; i < limbs; ++i)
        whole = (whole << 64) + random();
    whole >>= random() % 64;
    if (random() % 2 == 0)
        whole = -whole;
    if (random() % 10 == 0)
        whole = 0;
    return {whole, static_cast<int>(random() % 30)};
}

} // namespace

TEST(Decimal, PrintsAsNumericDoes)
{
    const std::pair<const char *, const char *> cases[] = {
        {"0", "0"},
        {"-0", "0"},
        {"-0.0", "0.0"},
        {"0.00", "0.00"},
        {"1", "1"},
        {"-1.50", "-1.50"},
        {"0.001", "0.001"},
        {"1e2", "100"},
        {"1E+2", "100"},
        {"1.50e1", "15.0"},
        {"1.50e2", "150"},
        {"1.50e3", "1500"},
        {"1e-2", "0.01"},
        {"12e-1", "1.2"},
        {"0e5", "0"},
        {"0.00e5", "0"},
        {"0.00e1", "0.0"},
        {"0e-3", "0.000"},
        {"-12.30e-2", "-0.1230"},
        {"170141183460469231731687303715884105727", "170141183460469231731687303715884105727"},
        {"170141183460469231731687303715884105728", "170141183460469231731687303715884105728"},
        {"-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"},
        {"123456789012345678901234567890123456789012345678901234567890.12345678901234567890",
         "123456789012345678901234567890123456789012345678901234567890.12345678901234567890"},
        {"1e40", "10000000000000000000000000000000000000000"},
        {"0.00000000000000000000000000000000000000000000000001",
         "0.00000000000000000000000000000000000000000000000001"},
    };
    for (const auto &[text, printed] : cases)
        EXPECT_EQ(number(text).text(), printed) << text;
}

TEST(Decimal, RefusesWhatIsNoJsonNumber)
{
    for (const char *text :
         {"", "-", "+1", "01", "-01", ".5", "5.", "1e", "1e+", "0x1", "1 ", " 1", "NaN", "Infinity", "1.2.3"})
        EXPECT_FALSE(Decimal::parse(text)) << text;
}

TEST(Decimal, AddsWithTheLargerScale)
{
    EXPECT_EQ(sum("5", "0.00"), "5.00");
    EXPECT_EQ(sum("0.1", "0.2"), "0.3");
    EXPECT_EQ(sum("1.10", "-1.1"), "0.00");
    EXPECT_EQ(sum("-0.5", "0.25"), "-0.25");
    EXPECT_EQ(sum("99999999999999999999.99", "0.01"), "100000000000000000000.00");
    EXPECT_EQ(sum("170141183460469231731687303715884105727", "1"), "170141183460469231731687303715884105728");
    EXPECT_EQ(sum("-170141183460469231731687303715884105728", "-1"), "-170141183460469231731687303715884105729");
    EXPECT_EQ(sum("170141183460469231731687303715884105728", "-1"), "170141183460469231731687303715884105727");
    EXPECT_EQ(sum("100000000000000000000000000000000000000", "0.01"), "100000000000000000000000000000000000000.01");
    EXPECT_EQ(sum("1e-50", "1e50"), "1" + std::string(50, '0') + "." + std::string(49, '0') + "1");
}

TEST(Decimal, IsSmallIfAndOnlyIfItFitsInto128Bits)
{
    EXPECT_TRUE(number("170141183460469231731687303715884105727").small());
    EXPECT_TRUE(number("-170141183460469231731687303715884105728").small());
    EXPECT_FALSE(number("170141183460469231731687303715884105728").small());
    Decimal back = number("170141183460469231731687303715884105728");
    back += number("-1");
    EXPECT_TRUE(back.small());
}

TEST(Decimal, ComparesByValueAndIsIdenticalByScaleToo)
{
    EXPECT_TRUE(number("1") == number("1.000"));
    EXPECT_FALSE(number("1").identical(number("1.0")));
    EXPECT_TRUE(number("1.0").identical(number("1.0")));
    EXPECT_TRUE(std::is_lt(number("1.01").compare(number("1.1"))));
    EXPECT_TRUE(std::is_lt(number("-2").compare(number("-1.99999"))));
    EXPECT_TRUE(std::is_gt(number("1e60").compare(number("1e-60"))));
    EXPECT_TRUE(number("-1e60") == number("-1" + std::string(60, '0') + ".00"));
    EXPECT_TRUE(std::is_gt(number("100000000000000000000000000000000000000").compare(number("0.0000000001"))));
}

TEST(Decimal, KeepsToTheRangeOfNumeric)
{
    const std::string longest(131072, '9');
    EXPECT_EQ(number(longest).text(), longest);
    EXPECT_THROW((void)Decimal::parse(longest + "0"), fold::LimitError);
    EXPECT_THROW((void)Decimal::parse("1e131072"), fold::LimitError);
    EXPECT_THROW((void)Decimal::parse("1e99999999999999999999"), fold::LimitError);
    EXPECT_EQ(number("0e99999999999999999999").text(), "0");
    EXPECT_EQ(number("1e-16383").scale(), 16383);
    EXPECT_THROW((void)Decimal::parse("1e-16384"), fold::LimitError);
    EXPECT_THROW((void)Decimal::parse("0e-16384"), fold::LimitError);
    Decimal sum = number(longest);
    EXPECT_THROW(sum += number("1"), fold::LimitError);
    EXPECT_EQ(sum.text(), longest);
    sum += number("0.5");
    EXPECT_EQ(sum.text(), longest + ".5");
}

TEST(Decimal, GoesThroughBase10000)
{
    const auto digits = [](std::string_view text)
    {
        const fold::Base10000 result = number(text).to_base10000();
        std::string shown = std::to_string(result.weight) + (result.negative ? " -" : " +");
        for (const std::int16_t digit : result.digits())
            shown += " " + std::to_string(digit);
        return shown + " /" + std::to_string(result.dscale);
    };
    // As numeric_send() shows them: weight, sign, digits, dscale.
    EXPECT_EQ(digits("0"), "0 + /0");
    EXPECT_EQ(digits("0.00"), "0 + /2");
    EXPECT_EQ(digits("1"), "0 + 1 /0");
    EXPECT_EQ(digits("10000"), "1 + 1 /0");
    EXPECT_EQ(digits("-12345.67"), "1 - 1 2345 6700 /2");
    EXPECT_EQ(digits("0.0001"), "-1 + 1 /4");
    EXPECT_EQ(digits("0.00001"), "-2 + 1000 /5");
    EXPECT_EQ(digits("10000.0000"), "1 + 1 /4");
    EXPECT_EQ(digits("1e40"), "10 + 1 /0");
    EXPECT_EQ(digits("123456789012345678901234567890123456789012.5"),
              "10 + 12 3456 7890 1234 5678 9012 3456 7890 1234 5678 9012 5000 /1");
    EXPECT_EQ(digits("170141183460469231731687303715884105727"),
              "9 + 170 1411 8346 469 2317 3168 7303 7158 8410 5727 /0");
    EXPECT_EQ(digits("17014118346046923173168730371588410572.7"),
              "9 + 17 141 1834 6046 9231 7316 8730 3715 8841 572 7000 /1");
    // A numeric's digits can end before its scale, and after the point of a number that has none.
    EXPECT_EQ(Decimal::from_base10000(std::array<std::int16_t, 1>{1}, 2, false, 6).text(), "100000000.000000");
    EXPECT_EQ(Decimal::from_base10000(std::array<std::int16_t, 1>{5}, 100, true, 0).text(),
              "-5" + std::string(400, '0'));
}

TEST(Decimal, AgreesWithIntegersOfAnySize)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 20000; ++i)
    {
        const Model a = random_model(random);
        const Model b = random_model(random);
        const Decimal x = number(a.text());
        const Decimal y = number(b.text());
        ASSERT_EQ(x.text(), a.whole == 0 && a.text().front() == '-' ? a.text().substr(1) : a.text());
        ASSERT_EQ(x.scale(), a.scale);

        const int scale = std::max(a.scale, b.scale);
        const Model expected{at_scale(a, scale) + at_scale(b, scale), scale};
        Decimal total = x;
        total += y;
        ASSERT_EQ(total.text(), expected.text()) << a.text() << " + " << b.text();

        const int order = at_scale(a, scale).compare(at_scale(b, scale));
        ASSERT_EQ(x.compare(y), order <=> 0) << a.text() << " and " << b.text();

        const fold::Base10000 stored = total.to_base10000();
        const Decimal read = Decimal::from_base10000(stored.digits(), stored.weight, stored.negative, stored.dscale);
        ASSERT_TRUE(read.identical(total)) << total.text();
        ASSERT_EQ(read.small(), total.small());
        ASSERT_TRUE(stored.digits().empty() || (stored.digits().front() != 0 && stored.digits().back() != 0));
        // Its digits say the same as its text.
        cpp_int joined = 0;
        for (const std::int16_t digit : stored.digits())
            joined = joined * 10000 + digit;
        const int shift = 4 * (stored.weight - static_cast<int>(stored.digits().size()) + 1) + scale;
        const cpp_int whole = shift >= 0 ? cpp_int(joined * pow(cpp_int(10), static_cast<unsigned>(shift)))
                                         : cpp_int(joined / pow(cpp_int(10), static_cast<unsigned>(-shift)));
        ASSERT_EQ(stored.negative ? cpp_int(-whole) : whole, expected.whole);
    }
}

TEST(Decimal, CopiesAndMovesLargeOnes)
{
    Decimal large = number("1e50");
    Decimal copy = large;
    copy += number("1");
    EXPECT_EQ(large.text(), "1" + std::string(50, '0'));
    const Decimal moved = std::move(copy);
    EXPECT_EQ(moved.text(), "1" + std::string(49, '0') + "1");
    large = moved;
    large = number("7");
    EXPECT_EQ(large.text(), "7");
    Decimal &self = large;
    large = self;
    EXPECT_EQ(large.text(), "7");
}
