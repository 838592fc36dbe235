// retry_dead_letters: events that were passed over are applied after all.
//
// A state that has later events in it already cannot take an earlier one, so every instance that such an event concerns is folded
// afresh from the first event on, with the event in its place. Many letters share one pass over the log. An event is applied to all of
// its instances or to none: where it fails again, or makes a later event of the same instances fail, it stays a dead letter, and those
// that were folded with it are folded again without it.

#include "pg/log.hpp"
#include "query/arguments.hpp"
#include "query/correction.hpp"
#include "query/parse_spec.hpp"
#include "query/replay.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

// So many letters at most share a pass.
constexpr std::size_t most_letters = 1000;

const char *const no_such_event = "P0002"; // no_data_found

struct Letter
{
    Position position = 0;
    std::set<std::string, std::less<>> ids; // of its instances; not known where aliases lead to them
    std::string sqlstate;                   // why it stays; empty: it does not
    std::string message;

    bool stays() const { return !sqlstate.empty(); }
    void keep(const std::string &why, const std::string &told)
    {
        sqlstate = why;
        message = told;
    }
    void keep(const pg::PgError &error) { keep(error.sqlstate_text(), std::string(error.message())); }
};

bool share_an_id(const std::set<std::string, std::less<>> &a, const std::set<std::string, std::less<>> &b)
{
    return std::any_of(a.begin(), a.end(), [&](const std::string &id) { return b.contains(id); });
}

source::MaybePosition just_before(Position position)
{
    if (position == std::numeric_limits<Position>::min())
        return std::nullopt;
    return position - 1;
}

// The retry of one generation's letters, in the transaction that has locked its checkpoint.
class Retry
{
public:
    explicit Retry(const ReplaySubject &subject_)
        : subject(subject_),
          generation(subject_.generation),
          correction(subject_),
          reader(subject_.source),
          follows_aliases(generation.definition.spec && parse_spec(*generation.definition.spec).uses_aliases())
    {
    }

    // All letters, or the one at that position.
    void run(const std::optional<Position> &only);

    std::size_t found() const { return letter_count; }
    int64 applied() const { return applied_count; }

private:
    enum class Outcome
    {
        done,
        again,     // a letter failed that states were stored with already
        too_large, // for the memory
    };

    void run_together(std::span<Letter> letters);
    Outcome fold_all(std::span<Letter> letters, bool &stored);
    Outcome fold_share(std::span<Letter> letters, const InstanceShare &share, bool first, std::size_t most_bytes);
    LogReplay::After blame(std::span<Letter> letters, const Replay::Failure &failure, bool &left_out);
    void store(LogReplay &replay, const InstanceShare &share);
    bool find_instances(Position position, std::set<std::string, std::less<>> &ids,
                        std::optional<Replay::Failure> &failure);
    void record(std::span<const Letter> letters);

    const ReplaySubject &subject;
    const Generation &generation;
    Correction correction;
    source::EventReader reader; // of single events
    const bool follows_aliases; // then no event says by itself which instances it concerns
    ChosenInstances chosen;
    std::size_t letter_count = 0;
    int64 applied_count = 0;
};

// The instances that the event names by its key, unless that fails. False: there is no such event.
bool Retry::find_instances(Position position, std::set<std::string, std::less<>> &ids,
                           std::optional<Replay::Failure> &failure)
{
    const LatestSnapshot snapshot;
    source::EventPage page = reader.read(just_before(position), position, 1);
    if (page.empty())
        return false;
    ChosenInstances named;
    named.collecting = true;
    Replay finder(generation, InstanceShare::only(named), true);
    failure = finder.find(page);
    page.free();
    ids = std::move(named.ids);
    return true;
}

LogReplay::After Retry::blame(std::span<Letter> letters, const Replay::Failure &failure, bool &left_out)
{
    if (!failure.lasting)
        return LogReplay::After::raise;
    for (Letter &letter : letters)
        if (letter.position == failure.position)
        {
            letter.keep(failure.error);
            left_out = true;
            return LogReplay::After::leave_out;
        }
    // Not a letter: without the letters it could be applied. The last one before it that has changed its states is the first to go.
    std::set<std::string, std::less<>> ids;
    if (!follows_aliases)
    {
        std::optional<Replay::Failure> no_key;
        (void)find_instances(failure.position, ids, no_key);
    }
    for (auto letter = letters.rbegin(); letter != letters.rend(); ++letter)
        if (!letter->stays() && letter->position < failure.position &&
            (follows_aliases || share_an_id(letter->ids, ids)))
        {
            letter->keep(failure.error.sqlstate_text(),
                         "the event at position " + std::to_string(failure.position) +
                             ", which was applied without it, would fail: " + std::string(failure.error.message()));
            return LogReplay::After::stop;
        }
    return LogReplay::After::raise;
}

void Retry::store(LogReplay &replay, const InstanceShare &share)
{
    if (share.chosen)
    {
        for (const std::string &id : chosen.ids)
            correction.store(replay.states(), replay.states().at(id));
        return;
    }
    StoredStates stored(generation);
    std::optional<std::string> after;
    do
        after = stored.after(after,
                             [&](std::string_view id, const StoredState &)
                             {
                                 if (!share.owns(id))
                                     return;
                                 StateCache::Entry &entry = replay.states().at(id);
                                 entry.second.stored = true;
                                 correction.store(replay.states(), entry);
                             });
    while (after);
    for (const StateCache::Entry *const entry : replay.states().dirty_entries())
        if (!entry->second.stored)
            correction.store(replay.states(), *entry);
}

Retry::Outcome Retry::fold_share(std::span<Letter> letters, const InstanceShare &share, bool first,
                                 std::size_t most_bytes)
{
    const LatestSnapshot snapshot;
    std::set<Position> left_out = dead_letters_of(generation.id);
    for (const Letter &letter : letters)
        if (!letter.stays())
            left_out.erase(letter.position);
    LogReplay replay(generation, subject.source, share, std::move(left_out), most_bytes);
    bool failed = false;
    const LogReplay::End end = replay.run(correction.checkpoint(), [&](const Replay::Failure &failure)
                                          { return blame(letters, failure, failed); });
    if (end == LogReplay::End::too_large)
        return Outcome::too_large;
    if (end == LogReplay::End::stopped || (failed && !first))
        return Outcome::again;
    store(replay, share);
    if (first && follows_aliases)
        correction.store_aliases(replay.fold().aliases());
    return Outcome::done;
}

// Aliases lead later events elsewhere once an earlier one is applied: all instances are looked at then.
Retry::Outcome Retry::fold_all(std::span<Letter> letters, bool &stored)
{
    if (!follows_aliases)
    {
        const std::size_t most = letters.size() > 1 ? most_replay_bytes(generation, {}) : 0;
        return fold_share(letters, InstanceShare::only(chosen), true, most);
    }
    std::vector<InstanceShare> shares = shares_of_all(generation);
    for (bool first = true; !shares.empty();)
    {
        const InstanceShare share = shares.back();
        shares.pop_back();
        switch (fold_share(letters, share, first, most_replay_bytes(generation, share)))
        {
        case Outcome::done:
            first = false;
            stored = true;
            break;
        case Outcome::again:
            return Outcome::again;
        case Outcome::too_large:
            for (const InstanceShare &half : halves(share))
                shares.push_back(half);
            break;
        }
    }
    return Outcome::done;
}

void Retry::run_together(std::span<Letter> letters)
{
    chosen.ids.clear();
    for (const Letter &letter : letters)
        if (!letter.stays())
            chosen.ids.insert(letter.ids.begin(), letter.ids.end());
    // Each time one letter more stays. Once states were stored with a letter that stays after all, they are stored without it, even if
    // no other is left.
    bool stored = false;
    Outcome outcome = Outcome::again;
    while (
        outcome == Outcome::again && (follows_aliases || !chosen.ids.empty()) &&
        (stored || !std::all_of(letters.begin(), letters.end(), [](const Letter &letter) { return letter.stays(); })))
        outcome = fold_all(letters, stored);
    if (outcome == Outcome::too_large)
    {
        const std::size_t half = letters.size() / 2;
        run_together(letters.first(half));
        run_together(letters.subspan(half));
        return;
    }
    record(letters);
}

void Retry::record(std::span<const Letter> letters)
{
    for (const Letter &letter : letters)
    {
        pg::Args args;
        args.integer(generation.id).bigint(letter.position);
        if (letter.stays())
            pg::execute("UPDATE readmodel_catalog.dead_letter"
                        "   SET sqlstate = $3, message = left($4, 8000), failed_at = now()"
                        " WHERE generation_id = $1 AND position = $2",
                        args.text(letter.sqlstate).text(letter.message))
                .free();
        else
        {
            pg::execute("DELETE FROM readmodel_catalog.dead_letter WHERE generation_id = $1 AND position = $2", args)
                .free();
            applied_count++;
        }
    }
}

void Retry::run(const std::optional<Position> &only)
{
    // Nobody discards one meanwhile.
    pg::Rows rows = pg::execute("SELECT position FROM readmodel_catalog.dead_letter"
                                " WHERE generation_id = $1 AND position = coalesce($2, position)"
                                "   AND discarded_at IS NULL ORDER BY position FOR UPDATE",
                                pg::Args().integer(generation.id).bigint(only));
    std::vector<Letter> letters(rows.size());
    for (uint64 row = 0; row < rows.size(); row++)
        letters[row].position = *rows.bigint(row, 1);
    rows.free();
    letter_count = letters.size();
    for (std::size_t from = 0; from < letters.size(); from += most_letters)
    {
        const std::span<Letter> some = std::span(letters).subspan(from, std::min(most_letters, letters.size() - from));
        for (Letter &letter : some)
        {
            std::optional<Replay::Failure> no_key;
            if (!find_instances(letter.position, letter.ids, no_key))
                letter.keep(no_such_event, "there is no event at this position any more");
            else if (no_key)
            {
                if (!no_key->lasting)
                    raise_failure(*no_key);
                letter.keep(no_key->error);
            }
        }
        run_together(some);
    }
    if (letter_count > 0)
        correction.finish(applied_count);
}

Datum retry_dead_letters(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const std::optional<Position> only = PG_ARGISNULL(1) ? std::nullopt : std::optional<Position>(PG_GETARG_INT64(1));
    const QueryRow query = lock_own_query(name);
    int64 applied = 0;
    {
        const CatalogScope scope;
        std::vector<ReplaySubject> subjects = [&]
        {
            const LatestSnapshot snapshot;
            std::vector<ReplaySubject> all = replay_subjects(query);
            std::erase_if(all,
                          [](const ReplaySubject &subject) { return dead_letters_of(subject.generation.id).empty(); });
            return all;
        }();
        for (const ReplaySubject &subject : subjects)
            lock_for_replay(subject, RowExclusiveLock);
        std::optional<pg::Error> fault;
        bool told = false;
        for (const ReplaySubject &subject : subjects)
        {
            const std::string generation =
                "query " + pg::shown(name) + ", generation " + std::to_string(subject.generation.number) + ": ";
            if (std::optional<pg::Error> why = replay_fault(subject))
            {
                if (subjects.size() > 1)
                    pg::log(NOTICE, generation + "left as it is: " + why->message_text);
                fault = std::move(why);
                continue;
            }
            Retry retry(subject);
            retry.run(only);
            applied += retry.applied();
            if (retry.found() == 0)
                continue;
            told = true;
            pg::log(NOTICE,
                    generation + std::to_string(retry.applied()) + " of " + std::to_string(retry.found()) +
                        " dead letters applied",
                    "",
                    retry.applied() == static_cast<int64>(retry.found())
                        ? ""
                        : "readmodel.dead_letters() shows why the others could not be.");
        }
        if (!told && fault)
            throw pg::Error(*fault);
        if (!told)
            pg::log(NOTICE,
                    only ? "query " + pg::shown(name) + " has no dead letter at position " + std::to_string(*only)
                         : "query " + pg::shown(name) + " has no dead letters");
    }
    if (applied > 0)
        worker::announce_definitions();
    return Int64GetDatum(applied);
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_retry_dead_letters, query::retry_dead_letters);
