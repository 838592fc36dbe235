// What can go wrong with a source while it is tailed: its sequence went back, an event came late, a step could not be done.

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "source/position_floor.hpp"
#include "worker/publish.hpp"
#include "worker/tail_worker.hpp"
#include "worker/wakeup.hpp"

namespace worker
{

namespace
{

constexpr long probe_interval_ms = 5000;

} // namespace

// The sequence decides, not max(position): retention may delete events. It went back if its last number is below one that was
// seen, or if both it and the table got new files, as TRUNCATE .. RESTART IDENTITY does, however many numbers were drawn since.
bool TailWorker::rewound(TailSource &tail)
{
    if (!OidIsValid(tail.config.sequence))
        return false;
    const Position last = pg::sequence_last_drawn(tail.config.sequence);
    const Oid sequence_file = pg::file_of(tail.config.sequence);
    std::uint64_t table_files = 0;
    for (const Oid table : tail.tables)
        table_files = table_files * 31 + pg::file_of(table);

    MaybePosition highest = tail.highest_drawn;
    if (source::before(highest, tail.settled.edge()))
        highest = tail.settled.edge();
    if (source::before(highest, tail.settled.highest_marked()))
        highest = tail.settled.highest_marked();
    const bool new_files = tail.highest_drawn && sequence_file != tail.sequence_file && table_files != tail.table_files;
    tail.sequence_file = sequence_file;
    tail.table_files = table_files;
    tail.highest_drawn = last;
    return new_files || (highest && last < *highest);
}

void TailWorker::record_rewound(const TailSource &tail, const query::Generation &generation)
{
    query::record_failure(generation.id, "source_rewound", generation.relied_on(), "",
                          "the sequence of source " + pg::shown(tail.config.name) +
                              " went back before a position that was applied");
}

// Whoever has applied something of the old numbers fails; who has not begins with the new ones.
void TailWorker::fail_source(TailSource &tail)
{
    pg::log(WARNING, "the sequence of source " + pg::shown(tail.config.name) + " went backwards",
            "Positions that were applied will be drawn again.",
            "Rebuild the queries of the source, once its events and its sequence are as they should be.");
    const pg::FreshSnapshot snapshot;
    for (const query::Generation &generation : query::load_generations())
    {
        if (generation.source_id != tail.config.id)
            continue;
        const std::optional<GenerationSlot> slot = generation_snapshot(generation.id);
        const bool rebuilding =
            slot && (slot->assignment == Assignment::rebuild || slot->assignment == Assignment::rebuild_wanted);
        if (generation.relied_on() || rebuilding)
            record_rewound(tail, generation);
    }
}

// The transaction of fail_source() has committed.
void TailWorker::source_failed(TailSource &tail)
{
    tail.lane.abandon();
    tail.lookups_before += tail.settled.lookups();
    tail.settled = source::SettledPosition();
    source::forget_floor(tail.config.id);
    publish(tail);
    announce_now(); // rebuild lanes must stop too
    reload_wanted = true;
}

// The net under the contract: an event in a hole that was declared dead was applied by nobody.
void TailWorker::probe_dead_holes(TailSource &tail)
{
    if (tail.settled.dead_holes().empty() || GetCurrentTimestamp() < tail.probe_at)
        return;
    tail.probe_at = in_ms(probe_interval_ms);
    pg::Transaction transaction;
    process.enter_transaction();
    pg::lock_with_inheritors(tail.config.events, AccessShareLock);
    MaybePosition late;
    {
        const pg::FreshSnapshot snapshot;
        const pg::Spi spi;
        late = tail.lane.events().first_in(tail.settled.dead_holes());
        if (late)
            for (const query::Generation &generation : generations)
                // One that has failed before it came there will read it.
                if (generation.source_id == tail.config.id &&
                    !(generation.failed && source::before(generation.furthest(), late)))
                    query::record_failure(generation.id, "late_event", late, "",
                                          "an event appeared at position " + std::to_string(*late) +
                                              ", which had been passed over");
    }
    transaction.commit();
    if (!late)
        return;
    pg::log(WARNING,
            "an event of source " + pg::shown(tail.config.name) + " appeared at position " + std::to_string(*late) +
                ", which had been passed over",
            "Its position was not drawn in the transaction that inserted it.",
            "Rebuild the queries of the source, and see that positions are drawn by the inserts themselves.");
    tail.settled.forget_hole_of(*late);
    announce_now(); // rebuild lanes must stop too
    reload_wanted = true;
}

void TailWorker::step_failed(TailSource &tail, const pg::Failure &error)
{
    tail.lane.abandon();
    const Block block = block_of(error.code());
    int blocker = 0;
    if (block == Block::lock)
    {
        pg::Transaction transaction;
        blocker = pg::blocker_of(tail.config.events, AccessShareLock);
        transaction.commit();
    }
    const std::string note = tail.lane.note_of(error);
    for (const auto &member : tail.lane.members())
    {
        member->takeover_told = false;
        publish_block(member->generation.id, block, blocker, note);
    }
    if (tail.failures == 0)
        // The text of an error in the data can quote the data, which has no place in the log.
        pg::log(
            WARNING,
            "the tail of source " + pg::shown(tail.config.name) + " could not go on" +
                (ERRCODE_TO_CATEGORY(error.code()) == ERRCODE_DATA_EXCEPTION ? "" : ": " + std::string(error.text())),
            "SQLSTATE " + error.code_text() + ". It is tried again; readmodel.status() shows the reason.");
    const long delay = std::min(shortest_retry_ms << std::min(tail.failures, 10), longest_retry_ms);
    tail.failures++;
    tail.not_before = in_ms(delay);
    reload_at = in_ms(delay); // names may have changed
}

} // namespace worker
