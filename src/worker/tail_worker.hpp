// The tail worker of a database: settles every source, tails it for the live generations, and assigns the others to rebuild lanes.
#pragma once

#include "query/generation.hpp"
#include "source/event_source.hpp"
#include "worker/lane.hpp"
#include "worker/worker_process.hpp"

namespace worker
{

// Delays between tries, doubled from the first to the second.
inline constexpr long shortest_retry_ms = 100;
inline constexpr long longest_retry_ms = 10'000;

// That much from now.
TimestampTz in_ms(long milliseconds);

// How an error that is tried again shows in the status.
Block block_of(int sqlstate);

// A source with its tail lane.
struct TailSource
{
    explicit TailSource(source::EventSource config_, source::SettledPosition settled_)
        : config(std::move(config_)),
          page_query(config.page_query()),
          witness(config, source::LockWitness::Observer::tail),
          settled(std::move(settled_)),
          lane(config)
    {
    }
    TailSource(const TailSource &) = delete;
    TailSource &operator=(const TailSource &) = delete;

    source::EventSource config;
    std::string page_query;
    source::LockWitness witness;
    source::SettledPosition settled;
    Lane lane;

    bool usable = false; // check_source() found nothing
    std::int64_t batches = 0;
    std::int64_t lookups_before = 0; // of earlier incarnations of this object
    std::int64_t read_before = 0;
    int failures = 0;            // consecutive, for the backoff
    TimestampTz not_before = 0;  // no step until then
    int waits = 0;               // consecutive looks at a pending mark
    int split_waits = 0;         // consecutive reloads that wait for a recent settled position
    int set_aside = 0;           // consecutive steps that set a member aside, for the backoff
    std::vector<Oid> tables;     // the event table and its partitions
    MaybePosition highest_drawn; // the sequence, as the last step has seen it ..
    Oid sequence_file = InvalidOid;
    std::uint64_t table_files = 0; // .. and the files of the tables
    TimestampTz settle_at = 0;     // when an idle lane settles again
    TimestampTz flushed_at = 0;
    std::int64_t flush_took = 0; // the last one, in microseconds
    TimestampTz probe_at = 0;    // when the dead holes are looked at again
};

class TailWorker
{
public:
    explicit TailWorker(WorkerProcess &worker_process) : process(worker_process) {}

    void run();

private:
    struct Progress
    {
        bool more = false; // there is more to read at once
        bool left = false; // .. since a slow updater has had its time
    };

    void reload();
    void adopt_sources(std::vector<source::EventSource> loaded);
    void assign(TailSource &tail, std::vector<query::Generation> &wanted);
    bool far_behind(TailSource &tail, const query::Generation &generation, bool handed_over);
    void split(TailSource &tail, const query::Generation &generation, int shares);
    void assign_shares(const TailSource &tail, const query::Generation &generation);
    void adopt(TailSource &tail, query::Generation generation);
    void forget_slots_of_dropped();

    Progress step(TailSource &tail);
    static bool flush_due(const TailSource &tail, const Lane::Page &page);
    Progress step_lane(TailSource &tail);
    void settle_only(TailSource &tail);
    bool idle() const;
    static bool rewound(TailSource &tail);
    static void publish(const TailSource &tail);
    static void record_rewound(const TailSource &tail, const query::Generation &generation);
    static void fail_source(TailSource &tail);
    void source_failed(TailSource &tail);
    void probe_dead_holes(TailSource &tail);
    void probe_before_reload();
    void after_commit(TailSource &tail, bool caught_up, TimestampTz current_at);
    bool take_over(Member &member);
    void tell_of_wait(const Member &member, const pg::Failure &error);
    bool take_over_failed(Member &member, const pg::Failure &error);
    void step_failed(TailSource &tail, const pg::Failure &error);
    void flush_all();

    void look_for_changes();
    void freeze_changed();
    void set_aside_locked(TailSource &tail);
    bool settle_generations();
    bool redefine(const query::Generation &generation);
    bool drop(const query::Generation &generation);
    void reload_in(long milliseconds);
    void count_attempts();
    void forget_attempts(TailSource &tail);

    long pause(bool announced);

    WorkerProcess &process;
    std::vector<std::unique_ptr<TailSource>> sources;
    std::vector<query::Generation> generations; // all of the database, as loaded last
    std::vector<int32> attempted; // generations whose fold has ended a process, and that have not got past that
    bool attempts_unknown = true; // what an earlier worker of the database has counted
    bool reload_wanted = true;
    TimestampTz reload_at = 0; // something was set aside until then
    int loaded_steps = 0;      // consecutive steps during which more events came

    std::set<int32> verified;    // generations whose definition is what the catalog has ..
    uint64 functions_seen = 0;   // .. since no function ..
    std::string sources_seen;    // .. and no row of a source was changed
    TimestampTz look_at = 0;     // when that is looked at again
    std::set<int32> told_in_use; // generations that other objects keep from being dropped
};

} // namespace worker
