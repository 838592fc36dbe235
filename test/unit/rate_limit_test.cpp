// A rebuild that is limited pauses for as long as it is ahead, and what was read under another limit does not count.
#include "worker/rate_limit.hpp"

#include <gtest/gtest.h>

using worker::RateLimit;

TEST(RateLimit, PausesForAsLongAsItIsAhead)
{
    RateLimit rate;
    rate.set(1000, 5'000'000);
    rate.add(100);
    EXPECT_EQ(rate.over_ms(5'000'000), 100);
    EXPECT_EQ(rate.over_ms(5'060'000), 40);
    EXPECT_EQ(rate.over_ms(5'200'000), 0);
    rate.set(1000, 5'060'000); // the same again
    EXPECT_EQ(rate.over_ms(5'060'000), 40);
}

TEST(RateLimit, BeginsAnewWithAnotherLimit)
{
    RateLimit rate;
    rate.add(1'000'000);
    EXPECT_EQ(rate.over_ms(0), 0); // none
    rate.set(10, 1'000'000);
    EXPECT_EQ(rate.over_ms(1'000'000), 0);
    rate.add(1);
    EXPECT_EQ(rate.over_ms(1'000'000), 100);
    rate.set(0, 1'000'000);
    EXPECT_EQ(rate.over_ms(1'000'000), 0);
}

TEST(RateLimit, BeginsAnewWithALane)
{
    RateLimit rate;
    rate.set(10, 0);
    rate.add(1000);
    rate.begin(1'000'000);
    EXPECT_EQ(rate.over_ms(1'000'000), 0);
    EXPECT_EQ(rate.per_second(), 10);
}
