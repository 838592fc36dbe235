#include "http/gathering.hpp"

#include <map>
#include <utility>

namespace http
{

namespace
{

struct Group
{
    std::vector<std::string> members;
    std::vector<ReadCallback> callbacks;
};

// A row for each. A result that has another number of them is none that can be told.
void give_each(const std::vector<ReadCallback> &callbacks, const ReadResult &result)
{
    const bool rows = result.kind == ReadResult::Kind::rows;
    ReadResult failed = result;
    if (rows && static_cast<size_t>(result.rows()) != callbacks.size())
    {
        failed.kind = ReadResult::Kind::error;
        failed.sqlstate = "08P01"; // protocol_violation
    }
    for (size_t i = 0; i < callbacks.size(); i++)
        callbacks[i](failed.kind == ReadResult::Kind::rows ? result.part(static_cast<int>(i)) : failed);
}

} // namespace

std::deque<Read> gathered(std::deque<Read> reads)
{
    // By what they have in common; the place is that of the first.
    using Common = std::tuple<const Statement *, std::optional<std::string>, std::optional<std::string>>;
    std::map<Common, std::pair<size_t, Group>> groups;
    std::deque<Read> all;
    for (Read &read : reads)
    {
        if (!read.statement->gathers || read.gathered)
        {
            all.push_back(std::move(read));
            continue;
        }
        const auto [place, first] =
            groups.try_emplace(Common(read.statement, read.parameters[0], read.parameters[2]), all.size(), Group());
        Group &group = place->second.second;
        group.members.push_back(std::move(read.parameters[1]).value_or(""));
        group.callbacks.push_back(std::move(read.callback));
        if (first)
            all.push_back(std::move(read));
    }
    for (auto &[common, placed] : groups)
    {
        auto &[place, group] = placed;
        Read &read = all[place];
        read.gathered = true;
        read.parameters[1] = text_array(group.members);
        read.callback = [callbacks = std::move(group.callbacks)](const ReadResult &result)
        { give_each(callbacks, result); };
    }
    return all;
}

} // namespace http
