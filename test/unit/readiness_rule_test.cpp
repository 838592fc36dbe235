#include "query/readiness_rule.hpp"

#include <gtest/gtest.h>

using namespace query;

namespace
{

// A live generation that a tail worker holds and that has reached its target at position 100.
ReadinessFacts caught_up()
{
    ReadinessFacts facts;
    facts.live = true;
    facts.checkpoint = 100;
    facts.preloaded = true;
    facts.launcher_alive = true;
    facts.tail_alive = true;
    facts.held = true;
    facts.reached = true;
    facts.required = 100;
    facts.stored = 100;
    facts.advanced = 100;
    return facts;
}

bool mentions(const Verdict &verdict, const std::string &text)
{
    return verdict.reason.find(text) != std::string::npos;
}

} // namespace

TEST(ReadinessRule, LiveHeldAndReachedIsReady)
{
    const Verdict verdict = decide(caught_up());
    EXPECT_EQ(verdict.status, Status::ready);
    EXPECT_EQ(verdict.reason, "");
}

TEST(ReadinessRule, SnapshotOlderThanTheRequiredCheckpointIsNeverReady)
{
    ReadinessFacts facts = caught_up();
    facts.checkpoint = 99;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    facts.checkpoint = std::nullopt;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    facts.checkpoint = 101;
    EXPECT_EQ(decide(facts).status, Status::ready);
}

TEST(ReadinessRule, NothingToApplyIsReadyWithoutACheckpoint)
{
    ReadinessFacts facts = caught_up();
    facts.checkpoint = facts.required = facts.stored = facts.advanced = std::nullopt;
    EXPECT_EQ(decide(facts).status, Status::ready);
}

TEST(ReadinessRule, LagBeyondTheLimitStalls)
{
    ReadinessFacts facts = caught_up();
    facts.lag_exceeded = true;
    facts.lag_seconds = 2.5;
    facts.max_lag_seconds = 60;
    EXPECT_EQ(decide(facts).status, Status::stalled);
    EXPECT_EQ(decide(facts).reason, "lag: 2.5 s, max_lag is 60 s");
    facts.writer_pending = true;
    facts.writer_pid = 7;
    EXPECT_TRUE(mentions(decide(facts), "pid 7"));
    facts.reached = false; // it has further to go than that
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
}

TEST(ReadinessRule, PositionZeroIsNotNothing)
{
    ReadinessFacts facts = caught_up();
    facts.required = 0;
    facts.checkpoint = std::nullopt;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    facts.checkpoint = 0;
    EXPECT_EQ(decide(facts).status, Status::ready);
}

TEST(ReadinessRule, LiveRowAloneProvesNothing)
{
    ReadinessFacts facts = caught_up();
    facts.reached = false;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    EXPECT_TRUE(mentions(decide(facts), "catching_up"));

    facts = caught_up();
    facts.held = false;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
}

TEST(ReadinessRule, SharedMemoryNeverLiftsARebuildingRow)
{
    ReadinessFacts facts = caught_up();
    facts.live = false;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
}

TEST(ReadinessRule, FailureRowWinsOverEverything)
{
    ReadinessFacts facts = caught_up();
    facts.failure = FailureFacts{"updater_error", 17, "22012"};
    EXPECT_EQ(decide(facts).status, Status::failed);
    EXPECT_EQ(decide(facts).reason, "updater_error: SQLSTATE 22012 at position 17");
    facts.preloaded = false;
    EXPECT_EQ(decide(facts).status, Status::failed);
    facts.standby = true;
    EXPECT_EQ(decide(facts).status, Status::failed);
    facts.failure = FailureFacts{"source_rewound", std::nullopt, ""};
    EXPECT_EQ(decide(facts).reason, "source_rewound");
}

TEST(ReadinessRule, AChangedDefinitionThatIsFollowedIsOnItsWayIfSomebodyIsThere)
{
    ReadinessFacts facts = caught_up();
    facts.failure = FailureFacts{"definition_changed", std::nullopt, ""};
    facts.followed = true;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    EXPECT_TRUE(mentions(decide(facts), "definition_changed"));
    facts.paused = true;
    EXPECT_EQ(decide(facts).status, Status::paused);
    facts.paused = facts.held = facts.tail_alive = false;
    EXPECT_EQ(decide(facts).status, Status::stalled);
    facts.standby = true; // it is followed where the primary is
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
}

TEST(ReadinessRule, APauseIsToldWhateverElseIsMissing)
{
    ReadinessFacts facts = caught_up();
    facts.paused = true;
    EXPECT_EQ(decide(facts).status, Status::paused);
    EXPECT_TRUE(mentions(decide(facts), "operator"));
    facts = ReadinessFacts();
    facts.paused = true;
    EXPECT_EQ(decide(facts).status, Status::paused);
    facts.failure = FailureFacts{"updater_error", 7, "ZZ123"};
    EXPECT_EQ(decide(facts).status, Status::failed);
}

TEST(ReadinessRule, TheGateIsToldWithWhatWaitsThereAndSinceWhen)
{
    ReadinessFacts facts;
    facts.gate = GateFacts{3, "2024-05-06 07:08:09+00", "0123456789abcdef0123456789abcdef"};
    EXPECT_EQ(decide(facts).status, Status::gated);
    EXPECT_EQ(decide(facts).reason,
              "operator: generation 3 waits for readmodel.approve() since 2024-05-06 07:08:09+00, "
              "definition 0123456789ab..");
    // A standby tells it, too: it stands in the catalog.
    facts.standby = true;
    facts.source_readable = false;
    EXPECT_EQ(decide(facts).status, Status::gated);
    facts.paused = true;
    EXPECT_EQ(decide(facts).status, Status::paused);
    facts.failure = FailureFacts{"definition_changed", std::nullopt, ""};
    EXPECT_EQ(decide(facts).status, Status::failed);
}

TEST(ReadinessRule, WithoutAMoverTheReasonNamesTheSetting)
{
    struct Case
    {
        void (*change)(ReadinessFacts &);
        const char *code;
        const char *setting;
    };
    const Case cases[] = {
        {[](ReadinessFacts &f) { f.preloaded = false; }, "not_preloaded:", "shared_preload_libraries"},
        {[](ReadinessFacts &f) { f.enabled = false; }, "no_worker:", "readmodel.enabled"},
        {[](ReadinessFacts &f) { f.database_listed = false; }, "no_worker:", "readmodel.databases"},
        {[](ReadinessFacts &f) { f.tail_alive = false; }, "no_worker:", "tail worker"},
        {[](ReadinessFacts &f) { f.tail_alive = f.launcher_alive = false; }, "no_slot:", "max_worker_processes"},
        {[](ReadinessFacts &f) { f.tail_alive = false, f.tail_no_slot = true; }, "no_slot:", "max_worker_processes"},
        {[](ReadinessFacts &f) { f.rebuild_wanted = f.rebuild_no_slot = true; }, "no_slot:", "max_worker_processes"},
        {[](ReadinessFacts &f) { f.rebuild_wanted = true, f.rebuilds_allowed = false; },
         "no_slot:", "readmodel.max_rebuild_workers"},
        {[](ReadinessFacts &f) { f.version_mismatch = true; }, "version:", "ALTER EXTENSION"},
    };
    for (const Case &c : cases)
    {
        ReadinessFacts facts = caught_up();
        facts.held = false;
        c.change(facts);
        const Verdict verdict = decide(facts);
        EXPECT_EQ(verdict.status, Status::stalled) << c.code << c.setting;
        EXPECT_EQ(verdict.reason.rfind(c.code, 0), 0u) << verdict.reason;
        EXPECT_TRUE(mentions(verdict, c.setting)) << verdict.reason;
    }
}

TEST(ReadinessRule, WithoutRebuildWorkersOnlyWhatNeedsOneIsStalled)
{
    ReadinessFacts facts = caught_up();
    facts.rebuilds_allowed = false;
    EXPECT_EQ(decide(facts).status, Status::ready);
    facts.live = false;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
}

TEST(ReadinessRule, AQueuedGenerationIsRebuilding)
{
    ReadinessFacts facts = caught_up();
    facts.held = false;
    facts.rebuild_wanted = true;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    EXPECT_TRUE(mentions(decide(facts), "queued"));
}

TEST(ReadinessRule, CatchUpCountsAsTheWorkerWhileItRuns)
{
    ReadinessFacts facts = caught_up();
    facts.tail_alive = false;
    facts.enabled = false;
    EXPECT_EQ(decide(facts).status, Status::ready);
    facts.held = false;
    EXPECT_EQ(decide(facts).status, Status::stalled);
}

TEST(ReadinessRule, ABlockedGenerationIsStalledAndNamesTheBlocker)
{
    ReadinessFacts facts = caught_up();
    facts.block = "lock";
    facts.blocker_pid = 4711;
    EXPECT_EQ(decide(facts).status, Status::stalled);
    EXPECT_EQ(decide(facts).reason, "lock: waits for pid 4711");
    facts.block = "takeover";
    facts.live = false;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    EXPECT_EQ(decide(facts).reason, "takeover: waits for pid 4711");
    facts.live = true;
    facts.block = "permission";
    facts.blocker_pid = 0;
    EXPECT_EQ(decide(facts).reason, "permission");
}

TEST(ReadinessRule, AnOpenWriterLeavesItReadyAndIsNamed)
{
    ReadinessFacts facts = caught_up();
    facts.writer_pending = true;
    facts.writer_pid = 4711;
    facts.writer_seconds = 12;
    EXPECT_EQ(decide(facts).status, Status::ready);
    EXPECT_EQ(decide(facts).reason, "writer: waits for the open transaction of pid 4711, 12 s old");
    facts.writer_pid = 0;
    EXPECT_TRUE(mentions(decide(facts), "prepared transaction"));
}

TEST(ReadinessRule, AStandbyAsksTheEventTable)
{
    ReadinessFacts facts;
    facts.standby = true;
    facts.live = true;
    facts.checkpoint = 100;
    EXPECT_EQ(decide(facts).status, Status::ready);
    facts.unread_event = true;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    facts.unread_event = false;
    facts.live = false;
    EXPECT_EQ(decide(facts).status, Status::rebuilding);
    facts.source_readable = false;
    EXPECT_EQ(decide(facts).status, Status::stalled);
}

TEST(ReadinessRule, PositionIsAdvancedOnlyOverTheCheckpointThatTheSnapshotSees)
{
    ReadinessFacts facts = caught_up();
    facts.advanced = 150;
    EXPECT_EQ(position_of(facts), 150);
    facts.checkpoint = 90; // an older snapshot: events between 90 and 100 are not in its states
    EXPECT_EQ(position_of(facts), 90);
    facts.checkpoint = std::nullopt;
    EXPECT_EQ(position_of(facts), std::nullopt);
    facts.stored = std::nullopt;
    EXPECT_EQ(position_of(facts), 150);
}

TEST(ReadinessRule, PositionNeverFallsBelowTheStoredCheckpoint)
{
    ReadinessFacts facts = caught_up();
    facts.advanced = std::nullopt;
    EXPECT_EQ(position_of(facts), 100);
    facts.advanced = 50;
    EXPECT_EQ(position_of(facts), 100);
}

TEST(ReadinessRule, OnlyAWaitIsBridgedByThePreviousGeneration)
{
    EXPECT_TRUE(may_serve_previous(Status::rebuilding));
    EXPECT_TRUE(may_serve_previous(Status::paused));
    EXPECT_TRUE(may_serve_previous(Status::gated));
    EXPECT_FALSE(may_serve_previous(Status::failed));
    EXPECT_FALSE(may_serve_previous(Status::stalled));
    EXPECT_FALSE(may_serve_previous(Status::ready));
}
