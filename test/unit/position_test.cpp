// "Nothing yet" comes before every position, also before 0, which is a position like any other.
#include "source/position.hpp"

#include <gtest/gtest.h>

#include <limits>

using source::before;
using source::MaybePosition;

TEST(Position, NothingComesBeforeEveryPosition)
{
    EXPECT_TRUE(before(std::nullopt, MaybePosition(0)));
    EXPECT_TRUE(before(std::nullopt, MaybePosition(-1)));
    EXPECT_TRUE(before(std::nullopt, MaybePosition(std::numeric_limits<source::Position>::min())));
}

TEST(Position, NoPositionComesBeforeNothing)
{
    EXPECT_FALSE(before(MaybePosition(0), std::nullopt));
    EXPECT_FALSE(before(std::nullopt, std::nullopt));
}

TEST(Position, OrderIsStrict)
{
    EXPECT_TRUE(before(MaybePosition(0), MaybePosition(1)));
    EXPECT_FALSE(before(MaybePosition(1), MaybePosition(0)));
    EXPECT_FALSE(before(MaybePosition(1), MaybePosition(1)));
}
