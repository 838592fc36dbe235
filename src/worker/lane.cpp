#include "worker/lane.hpp"

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/checkpoint.hpp"
#include "query/dead_letter.hpp"
#include "query/failure_advice.hpp"
#include "source/source_watch.hpp"
#include "worker/faults.hpp"

namespace worker
{

namespace
{

// A checkpoint that moved over nothing of the query's own is stored this seldom: all it saves is reading after a restart.
constexpr std::int64_t lazy_checkpoint_us = 10'000'000;

// What a failing event's payload is called in the log, where the payload itself has no place.
std::string digest(const source::EventPage &page, Position position)
{
    for (size_t i = 0; i < page.size(); i++)
        if (page.positions()[i] == position)
        {
            const query::EventValues event = page.event(i);
            if (event.nulls[query::column_data])
                return "null";
            const Datum hash = pg::call(
                [&]
                {
                    struct varlena *const data = PG_DETOAST_DATUM_PACKED(event.values[query::column_data]);
                    return DirectFunctionCall2(binary_encode, DirectFunctionCall1(sha256_bytea, PointerGetDatum(data)),
                                               CStringGetTextDatum("hex"));
                });
            return pg::text_of(hash);
        }
    return "unknown";
}

size_t events_up_to(const source::EventPage &page, const MaybePosition &position)
{
    const auto positions = page.positions();
    return position ? static_cast<size_t>(std::upper_bound(positions.begin(), positions.end(), *position) -
                                          positions.begin())
                    : 0;
}

// As psql shows an error.
std::string told(const query::FoldStop &stop)
{
    return stop.message + (stop.detail.empty() ? "" : "\nDETAIL:  " + stop.detail) +
           (stop.hint.empty() ? "" : "\nHINT:  " + stop.hint);
}

std::string told_without_data(const query::FoldStop &stop, const std::string &event_digest)
{
    return "SQLSTATE " + stop.sqlstate +
           (event_digest.empty() ? std::string(".") : ", SHA-256 of the event's data " + event_digest + ".") +
           (stop.log_detail.empty() ? "" : " " + stop.log_detail);
}

// These only once it is recorded: what a stale lane met is no failure.
void log_passed_over(const Member &member)
{
    for (const PassedOver &event : member.passed_over)
        pg::log(WARNING,
                "query " + pg::shown(member.generation.query_name) + " passed over the event at position " +
                    std::to_string(event.stop.position),
                told_without_data(event.stop, event.digest),
                "readmodel.dead_letters() lists such events, with their messages.");
}

void log_failure(const Member &member)
{
    const query::FoldStop &stop = *member.stop;
    pg::log(WARNING,
            "query " + pg::shown(member.generation.query_name) + " failed at position " + std::to_string(stop.position),
            told_without_data(stop, member.digest), advice_after(member));
}

} // namespace

std::string advice_after(const Member &member)
{
    const query::FoldStop &stop = *member.stop;
    const query::Generation &generation = member.generation;
    return stop.hint.empty()
               ? query::failure_advice(stop.reason, stop.sqlstate, generation.newest && !generation.serving)
               : stop.hint;
}

Lane::Lane(const source::EventSource &event_source) : source(event_source), reader(event_source) {}

Member &Lane::add(query::Generation generation, std::optional<query::Share> share)
{
    // By their ids: in the order in which everybody locks the rows of several checkpoints.
    const auto after = std::upper_bound(all.begin(), all.end(), generation.id,
                                        [](int32 id, const auto &other) { return id < other->generation.id; });
    Member &member = **all.insert(after, std::make_unique<Member>(std::move(generation), share));
    member.stored = member.cursor = share ? share->position : member.generation.checkpoint;
    member.stored_at = GetCurrentTimestamp();
    member.rate.add(0, member.stored_at);
    return member;
}

void Lane::remove(int32 generation_id)
{
    std::erase_if(all, [&](const auto &member) { return member->generation.id == generation_id; });
}

Member *Lane::find(int32 generation_id)
{
    for (const auto &member : all)
        if (member->generation.id == generation_id)
            return member.get();
    return nullptr;
}

MaybePosition Lane::cursor() const
{
    MaybePosition lowest = all.empty() ? std::nullopt : all.front()->cursor;
    for (const auto &member : all)
        if (source::before(member->cursor, lowest))
            lowest = member->cursor;
    return lowest;
}

bool Lane::left_early() const
{
    return std::any_of(all.begin(), all.end(),
                       [](const auto &member)
                       { return member->stop && member->stop->kind == query::FoldStop::Kind::interrupted; });
}

Lane::Page Lane::fold_settled(source::SettledPosition &settled, source::LockWitness &witness, int limit)
{
    // The table is locked first, then the pending mark is tested, then the snapshot is taken: a snapshot from before a rewriting
    // ALTER TABLE shows an empty table, one from before the end of the mark's holders misses what they committed.
    reading = true;
    FAULT_POINT(before_lock);
    pg::lock_with_inheritors(source.events, AccessShareLock);
    if (source::watched_changed())
        throw SourceChanged{};
    const MaybePosition edge_before = settled.edge();
    settled.refresh(witness);
    // A session may have moved the checkpoint past what this object has settled: what lies between is applied, and no hole.
    settled.settle_up_to(cursor());
    // A mark that is proved at once calls for another snapshot, now or with the next step, which then comes at once. The second page
    // has everything settled that the first one showed; what it shows beyond that is the next step's.
    for (int attempt = 0;; attempt++)
    {
        FAULT_POINT(before_snapshot);
        const pg::FreshSnapshot snapshot;
        FAULT_POINT(after_snapshot);
        source::EventPage page = reader.read(cursor(), std::nullopt, limit);
        if (!page.empty())
            witness.seen(page.last());
        const bool undrawn = leave_out_undrawn(page);
        const source::SettledPosition::Verdict verdict = settled.judge(page.positions(), page.exhausted(), witness);
        // What an earlier mark has settled need not wait for what this one did: that is another batch.
        if (verdict.read_again && attempt == 0 && (verdict.settled == 0 || settled.lookups_unused() <= 1))
        {
            page.free();
            continue;
        }
        // A sequence that got a CACHE meanwhile would make the mark worthless: whoever drew under it waited for that change to
        // commit, so the message about it has come by now.
        if (verdict.settled < page.size() && source::watched_changed_now())
        {
            settled.begin_again(edge_before);
            throw SourceChanged{};
        }
        const bool caught_up = !undrawn && !verdict.read_again && (page.exhausted() || verdict.settled < page.size());
        page.truncate(verdict.settled);
        reading = false;
        witness.announce_passed(settled.edge());
        if (!page.empty())
            tell_batch(page, settled.lookups_of_batch());
        fold(page, caught_up, settled.edge());
        const bool left = left_early();
        const Page result{left ? events_up_to(page, cursor()) : page.size(), caught_up, verdict.read_again,
                          page.exhausted(), left};
        page.free();
        return result;
    }
}

// For whoever measures: source_status() has the sums.
void Lane::tell_batch(const source::EventPage &page, std::int64_t lookups) const
{
    if (message_level_is_interesting(DEBUG1))
        pg::log(DEBUG1, "a batch of source " + pg::shown(source.name) + ": " + std::to_string(page.size()) +
                            " events, " + std::to_string(lookups) + " lock look-ups");
}

// A position that is visible was drawn before it became so. One above the last number drawn was not drawn at all: the sequence
// will come to it again, and what is between can still be filled. Returns true if the page had such; throws if it had nothing else.
bool Lane::leave_out_undrawn(source::EventPage &page) const
{
    if (page.empty() || !OidIsValid(source.sequence))
        return false;
    const Position last = pg::sequence_last_drawn(source.sequence);
    if (page.last() <= last)
        return false;
    const auto positions = page.positions();
    const auto first = std::upper_bound(positions.begin(), positions.end(), last);
    if (first == positions.begin())
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the event at position " + std::to_string(*first) +
                                                                      " lies beyond the last number of sequence " +
                                                                      pg::relation_name(source.sequence))
            .detail("The last number drawn is " + std::to_string(last) + ".")
            .hint("Move the sequence on with setval(), while nobody appends.");
    page.truncate(static_cast<size_t>(first - positions.begin()));
    return true;
}

Lane::Page Lane::fold_up_to(const MaybePosition &settled, int limit)
{
    reading = true;
    FAULT_POINT(before_lock);
    pg::lock_with_inheritors(source.events, AccessShareLock);
    if (source::watched_changed())
        throw SourceChanged{};
    FAULT_POINT(before_snapshot);
    const pg::FreshSnapshot snapshot;
    FAULT_POINT(after_snapshot);
    source::EventPage page = reader.read(cursor(), settled, limit);
    reading = false;
    fold(page, page.exhausted(), settled);
    const bool left = left_early();
    const Page result{left ? events_up_to(page, cursor()) : page.size(), page.exhausted(), false, page.exhausted(),
                      left};
    page.free();
    return result;
}

void Lane::fold(const source::EventPage &page, bool caught_up, const MaybePosition &settled)
{
    read_count += static_cast<int64>(page.size());
    const auto takes_documents = [](const auto &member)
    { return !member->stop && !member->generation.definition.spec; };
    if (!page.empty())
        shared.begin(page, static_cast<size_t>(std::count_if(all.begin(), all.end(), takes_documents)));
    for (const auto &held : all)
    {
        Member &member = *held;
        if (member.stop)
            continue;
        if (!page.empty())
        {
            if (!member.fold.updater_unchanged())
                throw UpdaterChanged{member.generation.id};
            query::FoldResult result = member.fold.fold(page, member.cursor, shared, member.passed_over.size());
            member.unflushed_events += result.events;
            for (query::FoldStop &passed_over : result.passed_over)
            {
                std::string event_digest = digest(page, passed_over.position);
                member.passed_over.push_back({std::move(passed_over), std::move(event_digest)});
            }
            const size_t before = events_up_to(page, member.cursor);
            const size_t after = std::max(before, events_up_to(page, result.last));
            member.rate.add(static_cast<int64>(after - before), GetCurrentTimestamp());
            if (source::before(member.cursor, result.last))
                member.cursor = result.last;
            if (result.stop)
            {
                if (result.stop->kind == query::FoldStop::Kind::updater)
                    member.digest = digest(page, result.stop->position);
                member.stop = std::move(result.stop);
                continue;
            }
        }
        // Dead holes after the last event are passed over too, but a generation that has seen nothing stays at nothing.
        if (caught_up && member.cursor && source::before(member.cursor, settled))
            member.cursor = settled;
    }
    shared.end();
}

void Lane::flush_member(Member &member)
{
    const query::Generation &generation = member.generation;
    // Relations are locked before rows of the catalog, as drop_query does it: neither waits for the other in a circle.
    // A rebuild flushes in another transaction than it folds in; it is set aside when the table is locked for long.
    if (!pg::lock_unless_gone(generation.state_table, RowExclusiveLock))
        throw LostCheckpoint{generation.id};
    FAULT_POINT(before_checkpoint);
    // The compare-and-set comes before every write: a second worker waits for it.
    const query::CheckpointMove move{
        generation.id,      member.stored, member.cursor, member.unflushed_events, member.fold.instance_change(),
        generation.revision};
    if (!(member.share ? query::move_share(move, member.share->number) : query::move_checkpoint(move)))
        throw LostCheckpoint{generation.id};
    FAULT_POINT(after_checkpoint);
    for (const PassedOver &event : member.passed_over)
        query::record_dead_letter(generation.id, event.stop.position, event.stop.sqlstate, told(event.stop));
    member.fold.write();
    if (!member.fold.updater_unchanged())
        throw UpdaterChanged{generation.id};
    member.flushing = true;
}

// A flush that failed says nothing about whose fault it was: its states are dropped, and it stands where it was committed last.
void Lane::blame(Member &member, const pg::PgError &error)
{
    const Position up_to = member.cursor.value_or(0);
    member.fold.forget();
    member.cursor = member.stored;
    member.unflushed_events = 0;
    member.flushing = false;
    member.digest.clear();
    member.passed_over.clear();
    member.stop = query::FoldStop{query::is_transient(error.sqlstate()) ? query::FoldStop::Kind::transient
                                                                        : query::FoldStop::Kind::updater,
                                  "updater_error",
                                  up_to,
                                  error.sqlstate_text(),
                                  std::string(error.message()),
                                  0};
}

void Lane::flush(bool everything)
{
    FAULT_POINT(before_flush);
    // After a flush that was not committed the members flush one by one, so that one that cannot does not hold up the others.
    const bool alone = std::exchange(one_by_one, true);
    const pg::FreshSnapshot snapshot; // the statements take their own, but will not run without one
    const TimestampTz now = GetCurrentTimestamp();
    for (const auto &held : all)
    {
        Member &member = *held;
        const bool moved = source::before(member.stored, member.cursor);
        const bool lazy = now - member.stored_at > lazy_checkpoint_us;
        // A failure is only true of the checkpoint and the updater that it was met with: both are compared, moved or not.
        const bool failing = member.stop && member.stop->kind == query::FoldStop::Kind::updater;
        if (failing || (moved && (member.unflushed_events > 0 || !member.passed_over.empty() || lazy || everything ||
                                  member.stop)))
        {
            if (!alone)
                flush_member(member);
            else if (const std::optional<pg::PgError> error = pg::attempt(false, [&] { flush_member(member); }))
                blame(member, *error);
        }
        if (member.stop && member.stop->kind == query::FoldStop::Kind::updater)
        {
            query::record_failure(member.generation.id, member.stop->reason, member.stop->position,
                                  member.stop->sqlstate, told(*member.stop));
            member.failed = true;
        }
    }
}

void Lane::committed(bool keep)
{
    one_by_one = false;
    const TimestampTz now = GetCurrentTimestamp();
    for (const auto &held : all)
    {
        Member &member = *held;
        if (member.failed && member.stop)
            log_failure(member);
        if (!member.flushing)
        {
            // States that a backlog has left in memory go too, or a query without events would hold the cache for ever.
            if (!keep && !member.fold.dirty())
                member.fold.forget();
            continue;
        }
        member.flushing = false;
        member.batches++;
        log_passed_over(member);
        member.passed_over.clear();
        member.stored = member.cursor;
        member.stored_at = now;
        member.applied += std::exchange(member.unflushed_events, 0);
        member.fold.written(keep);
    }
}

void Lane::evict(size_t most)
{
    // Each gives up the same share of what it holds.
    const size_t now = bytes();
    if (now > most)
        for (const auto &member : all)
            if (!member->fold.dirty())
                member->fold.evict(static_cast<size_t>(static_cast<double>(member->fold.bytes()) *
                                                       static_cast<double>(most) / static_cast<double>(now)));
}

void Lane::abandon()
{
    for (const auto &held : all)
    {
        Member &member = *held;
        member.fold.forget();
        member.cursor = member.stored;
        member.unflushed_events = 0;
        member.flushing = member.failed = false;
        member.passed_over.clear();
        member.stop.reset();
    }
}

std::string Lane::note_of(const pg::Failure &error) const
{
    const bool one_owner =
        std::all_of(all.begin(), all.end(),
                    [&](const auto &member) { return member->generation.owner == all.front()->generation.owner; });
    if (reading || one_owner || error.code() == ERRCODE_LOCK_NOT_AVAILABLE)
        return std::string(error.text());
    return "SQLSTATE " + error.code_text();
}

size_t Lane::bytes() const
{
    size_t sum = 0;
    for (const auto &member : all)
    {
        sum += member->fold.bytes();
        // A log full of events that cannot be applied is not to fill the memory either.
        for (const PassedOver &event : member->passed_over)
            sum += sizeof event + event.digest.size() + event.stop.message.size() + event.stop.detail.size();
    }
    return sum;
}

bool Lane::stopped() const
{
    return std::any_of(all.begin(), all.end(), [](const auto &member) { return !!member->stop; });
}

} // namespace worker
