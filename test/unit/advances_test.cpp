// What is told of a generation's position never goes back, whichever checkpoint a reader's snapshot has.

#include "worker/advances.hpp"

#include <gtest/gtest.h>

namespace
{

using source::MaybePosition;
using worker::Advances;

TEST(Advances, GoesWithTheCheckpointOfTheReader)
{
    Advances advances{};
    advances.record(10, 10);
    advances.record(10, 50);
    EXPECT_EQ(advances.over(10), 50);
    advances.record(60, 60);
    EXPECT_EQ(advances.over(60), std::nullopt);
    EXPECT_EQ(advances.over(10), 50); // an older snapshot was told 50 before
    EXPECT_EQ(advances.over(55), std::nullopt);
    EXPECT_EQ(advances.stored(), 60);
}

TEST(Advances, StaysWhereItWasWhenAWorkerBeginsAgain)
{
    Advances advances{};
    advances.record(10, 50);
    advances.record(10, 10);
    EXPECT_EQ(advances.over(10), 50);
}

TEST(Advances, StaysWhereItWasWhenAWorkerStoresLess)
{
    Advances advances{};
    advances.record(10, 50);
    EXPECT_EQ(advances.over(30), 50); // stored on the way out, and not told to anybody
    advances.record(30, 30);
    EXPECT_EQ(advances.over(30), 50);
    EXPECT_EQ(advances.over(10), 50);
    EXPECT_EQ(advances.over(5), std::nullopt); // what lies between 5 and 10 is not known
}

TEST(Advances, DoesNotListenToWhoWasOvertaken)
{
    Advances advances{};
    advances.record(10, 10);
    advances.record(60, 80);
    advances.record(10, 55);
    EXPECT_EQ(advances.over(60), 80);
    EXPECT_EQ(advances.stored(), 60);
}

TEST(Advances, KnowsAGenerationThatHasAppliedNothing)
{
    Advances advances{};
    advances.record(std::nullopt, std::nullopt);
    EXPECT_EQ(advances.over(std::nullopt), std::nullopt);
    advances.record(std::nullopt, 20);
    EXPECT_EQ(advances.over(std::nullopt), 20);
    advances.record(30, 30);
    EXPECT_EQ(advances.over(std::nullopt), 20);
    advances.record(std::nullopt, std::nullopt); // not the same generation any more
    EXPECT_EQ(advances.over(30), std::nullopt);
    EXPECT_EQ(advances.over(std::nullopt), std::nullopt);
}

TEST(Advances, ForgetsWhatIsLongAgo)
{
    Advances advances{};
    for (std::int64_t i = 0; i < 100; i++)
        advances.record(10 * i, 10 * i + 5);
    EXPECT_EQ(advances.over(990), 995);
    EXPECT_EQ(advances.over(980), 985);
    EXPECT_EQ(advances.over(0), std::nullopt);
}

} // namespace
