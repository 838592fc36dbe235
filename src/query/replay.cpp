#include "query/replay.hpp"

#include "pg/progress_watch.hpp"
#include "pg/transaction.hpp"
#include "query/fold.hpp"
#include "query/function_updater.hpp"
#include "query/generation_check.hpp"
#include "query/parse_spec.hpp"
#include "query/readiness.hpp"
#include "query/spec_updater.hpp"
#include "settings.hpp"

namespace query
{

namespace
{

std::unique_ptr<PageUpdater> make_updater(const Generation &generation, StateCache &cache, InstanceShare share)
{
    if (generation.definition.spec)
        return std::make_unique<SpecUpdater>(generation, cache, share);
    return std::make_unique<FunctionUpdater>(generation, cache, share);
}

void put(source::PageContent &content, const source::EventPage &page, std::size_t index)
{
    content.positions.push_back(page.positions()[index]);
    content.events.push_back(page.event(index));
}

source::EventPage page_of(source::PageContent &content, bool exhausted)
{
    return {content, pg::Rows(nullptr, 0), exhausted};
}

int updater_timeout(const LaneOptions &options)
{
    if (!options.updater_timeout_ms)
        return settings::updater_timeout;
    return static_cast<int>(std::clamp<int64>(*options.updater_timeout_ms, 1, INT_MAX));
}

// Shares of more than this are not divided further: it is single states that are large then.
constexpr int most_shares = 4096;

} // namespace

Replay::Replay(const Generation &generation_, InstanceShare share, bool limited)
    : generation(generation_),
      cache(generation_.definition.spec ? StateForm::trees : StateForm::documents),
      updater(make_updater(generation_, cache, share)),
      limit(limited ? updater_timeout(generation_.options) : 0)
{
}

template <class F>
std::optional<pg::PgError> Replay::guarded(F &&body)
{
    std::optional<pg::PgError> error = pg::attempt(true,
                                                   [&]
                                                   {
                                                       const pg::AsUser owner(generation.owner, true);
                                                       pg::pin_surroundings(generation.definition.search_path);
                                                       const pg::ProgressWatch watch(limit);
                                                       body();
                                                   });
    if (error)
        updater->recover();
    timed_out = false;
    if (error && limit > 0 && error->sqlstate() == ERRCODE_QUERY_CANCELED && pg::ProgressWatch::expired())
    {
        timed_out = true;
        auto [context, data] = error->release();
        data->message = MemoryContextStrdup(
            context,
            ("the updater ran longer than updater_timeout (" + std::to_string(limit) + " ms) for one event").c_str());
        error = pg::PgError(context, data);
    }
    return error;
}

Replay::Failure Replay::failure_at(Position position, pg::PgError error)
{
    const bool lasting = timed_out || !is_transient(error.sqlstate());
    return {position, std::move(error), lasting};
}

std::optional<Replay::Failure> Replay::fold(const source::EventPage &page, const MaybePosition &cursor,
                                            const Seen &seen)
{
    if (page.empty())
        return std::nullopt;
    cache.tick();
    std::optional<Failure> failure = seen ? fold_singly(page, cursor, seen) : fold_page(page, cursor);
    updater->end_page();
    work.end();
    return failure;
}

std::optional<Replay::Failure> Replay::fold_page(const source::EventPage &page, const MaybePosition &cursor)
{
    PassOverPage pass;
    work.begin(page, 1);
    updater->begin_page(work);
    std::optional<pg::PgError> error = guarded([&] { updater->select(page, cursor, true, pass); });
    std::size_t stop = pass.at;
    if (!updater->empty())
    {
        updater->load_references(true);
        pass.at = updater->first(); // nothing is applied yet, whatever may raise before the first event
        if (std::optional<pg::PgError> fault = guarded([&] { updater->apply(page, pass); }))
        {
            error = std::move(fault);
            stop = pass.at;
        }
    }
    if (!error)
        return std::nullopt;
    return failure_at(page.positions()[std::min(stop, page.size() - 1)], std::move(*error));
}

std::optional<Replay::Failure> Replay::fold_singly(const source::EventPage &page, const MaybePosition &cursor,
                                                   const Seen &seen)
{
    std::size_t at = 0;
    std::optional<pg::PgError> error = guarded(
        [&]
        {
            for (; at < page.size(); at++)
            {
                if (cursor && page.positions()[at] <= *cursor)
                    continue;
                single.positions.clear();
                single.events.clear();
                put(single, page, at);
                const source::EventPage one = page_of(single, true);
                PassOverPage pass;
                work.begin(one, 1);
                updater->begin_page(work);
                updater->select(one, std::nullopt, true, pass);
                if (updater->empty())
                    continue;
                updater->load_references(true);
                updater->apply(one, pass);
                if (!updater->entries().empty())
                    seen(at, updater->entries());
            }
        });
    if (!error)
        return std::nullopt;
    return failure_at(page.positions()[at], std::move(*error));
}

std::optional<Replay::Failure> Replay::find(const source::EventPage &page)
{
    PassOverPage pass;
    work.begin(page, 1);
    updater->begin_page(work);
    std::optional<pg::PgError> error = guarded([&] { updater->select(page, std::nullopt, true, pass); });
    updater->end_page();
    work.end();
    if (!error)
        return std::nullopt;
    return failure_at(page.positions()[std::min(pass.at, page.size() - 1)], std::move(*error));
}

void raise_failure(const Replay::Failure &failure)
{
    pg::PgError error(failure.error);
    auto [context, data] = error.release();
    const std::string before = data->context ? std::string(data->context) + "\n" : "";
    data->context =
        MemoryContextStrdup(context, (before + "event at position " + std::to_string(failure.position)).c_str());
    throw pg::PgError(context, data);
}

LogReplay::LogReplay(const Generation &generation_, const source::EventSource &source, InstanceShare share,
                     std::set<Position> left_out_, std::size_t most_bytes_)
    : generation(generation_),
      replay(generation_, share, true),
      reader(source),
      left_out(std::move(left_out_)),
      most_bytes(most_bytes_)
{
    // Accepted first, compared then: what was replaced before is noticed here, what is replaced later when it has run.
    replay.accept_updater();
    if (!definition_unchanged(generation))
        throw changed_concurrently();
}

pg::Error LogReplay::changed_concurrently() const
{
    return pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                     "the updater of query " + pg::shown(generation.query_name) + " was changed concurrently")
        .hint("Try the transaction again.");
}

const source::EventPage &LogReplay::without_left_out(const source::EventPage &page)
{
    const auto first = left_out.lower_bound(page.positions().front());
    if (first == left_out.end() || *first > page.last())
        return page;
    kept.clear();
    kept.positions.clear();
    kept.events.clear();
    for (std::size_t i = 0; i < page.size(); i++)
        if (!left_out.contains(page.positions()[i]))
            put(kept, page, i);
    kept_page.emplace(page_of(kept, page.exhausted()));
    return *kept_page;
}

LogReplay::End LogReplay::run(const MaybePosition &up_to, const OnFailure &on_failure, const Seen &seen)
{
    if (!up_to)
        return End::reached;
    for (bool more = true; more;)
    {
        pg::check_for_interrupts();
        source::EventPage page = reader.read(cursor, up_to, settings::batch_size);
        more = !page.exhausted();
        if (!page.empty())
        {
            const source::EventPage &events = without_left_out(page);
            Replay::Seen seen_in_page;
            if (seen)
                seen_in_page = [&](std::size_t index, std::span<StateCache::Entry *const> entries)
                { seen(events.event(index), entries); };
            MaybePosition after = cursor;
            while (const std::optional<Replay::Failure> failure = replay.fold(events, after, seen_in_page))
            {
                const After then = on_failure ? on_failure(*failure) : After::raise;
                if (then == After::raise)
                    raise_failure(*failure);
                if (then == After::stop)
                {
                    page.free();
                    return End::stopped;
                }
                after = failure->position;
            }
            cursor = page.last();
        }
        page.free();
        if (most_bytes > 0 && replay.states().bytes() > most_bytes)
            return End::too_large;
    }
    if (!replay.updater_unchanged())
        throw changed_concurrently();
    return End::reached;
}

bool divisible(const Generation &generation)
{
    return !generation.definition.spec || parse_spec(*generation.definition.spec).splittable();
}

std::vector<InstanceShare> shares_of_all(const Generation &generation)
{
    if (!divisible(generation))
        return {InstanceShare()};
    const std::size_t stored = static_cast<std::size_t>(bytes_of_states(generation.state_table).value_or(0));
    const std::size_t room = std::max<std::size_t>(most_replay_bytes(generation, {}), 1);
    // In memory a state takes about what it takes in the table, twice that as a tree.
    const int count = static_cast<int>(std::min<std::size_t>(2 * stored / room + 1, most_shares));
    std::vector<InstanceShare> shares;
    shares.reserve(static_cast<std::size_t>(count));
    for (int number = 0; number < count; number++)
        shares.push_back({number, count, nullptr});
    return shares;
}

std::array<InstanceShare, 2> halves(const InstanceShare &share)
{
    return {InstanceShare{share.number, 2 * share.count, nullptr},
            InstanceShare{share.number + share.count, 2 * share.count, nullptr}};
}

std::size_t most_replay_bytes(const Generation &generation, const InstanceShare &share)
{
    if (share.count > most_shares || !divisible(generation))
        return 0;
    return static_cast<std::size_t>(settings::state_cache) * 1024;
}

} // namespace query
