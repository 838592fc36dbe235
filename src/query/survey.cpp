#include "query/survey.hpp"

namespace query
{

namespace
{

template <typename Key, typename Value, typename Ask>
const Value &known(std::unordered_map<Key, Value> &answers, Key key, const Ask &ask)
{
    auto place = answers.find(key);
    if (place == answers.end())
        place = answers.emplace(key, ask(key)).first;
    return place->second;
}

} // namespace

Survey::Survey(size_t queries)
{
    if (queries < catalog::many)
        return;
    generation_rows = catalog::read_generations(queries);
    checkpoint_rows = catalog::read_checkpoints(queries);
    failure_rows = catalog::read_failures(queries);
}

std::optional<catalog::GenerationRow> Survey::generation(int32 query_id, int32 number) const
{
    if (!generation_rows)
        return catalog::find_generation(query_id, number);
    if (const auto place = generation_rows->find(query_id); place != generation_rows->end())
        for (const catalog::GenerationRow &row : place->second)
            if (row.number == number)
                return row;
    return std::nullopt;
}

std::vector<catalog::GenerationRow> Survey::generations(int32 query_id) const
{
    if (!generation_rows)
        return catalog::generations_of(query_id);
    const auto place = generation_rows->find(query_id);
    return place == generation_rows->end() ? std::vector<catalog::GenerationRow>() : place->second;
}

catalog::CheckpointRow Survey::checkpoint(int32 generation_id) const
{
    if (!checkpoint_rows)
        return catalog::checkpoint_of(generation_id);
    const auto place = checkpoint_rows->find(generation_id);
    return place == checkpoint_rows->end() ? catalog::CheckpointRow() : place->second;
}

std::optional<catalog::FailureRow> Survey::failure(int32 generation_id) const
{
    if (!failure_rows)
        return catalog::failure_of(generation_id);
    const auto place = failure_rows->find(generation_id);
    return place == failure_rows->end() ? std::nullopt : std::optional<catalog::FailureRow>(place->second);
}

const std::optional<worker::SourceSlot> &Survey::source(int32 source_id) const
{
    return known(sources, source_id, worker::source_snapshot);
}

bool Survey::lives(pid_t process) const
{
    return known(living, process,
                 [](pid_t pid) { return pg::call([&] { return BackendPidGetProc(pid) != nullptr; }); });
}

const std::optional<worker::EventInHand> &Survey::in_hand(pid_t process) const
{
    return known(events, process, worker::event_in_hand);
}

} // namespace query
