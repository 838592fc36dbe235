#include "http/lag_history.hpp"

#include <algorithm>

#include "http/response.hpp"

namespace http
{

void LagHistory::begin(int64_t at_ms)
{
    // The clock was set back: what was written down belongs to no time any more.
    if (!times.empty() && times.back() >= at_ms)
    {
        times.clear();
        lags.clear();
    }
    size_t old = 0;
    while (old < times.size() && times[old] < at_ms - window_ms)
        old++;
    times.erase(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(old));
    for (auto query = lags.begin(); query != lags.end();)
    {
        Lags &values = query->second;
        values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(old));
        if (std::none_of(values.begin(), values.end(), [](const auto &value) { return value.has_value(); }))
        {
            query = lags.erase(query);
            continue;
        }
        values.push_back(std::nullopt);
        ++query;
    }
    times.push_back(at_ms);
}

void LagHistory::add(std::string_view name, std::optional<int64_t> lag)
{
    if (!lag || times.empty())
        return;
    auto query = lags.find(name);
    if (query == lags.end())
        query = lags.emplace(name, Lags(times.size())).first;
    query->second.back() = lag;
}

void LagHistory::append_json(std::string &out) const
{
    out += R"({"at":[)";
    for (size_t i = 0; i < times.size(); i++)
        out.append(i == 0 ? "" : ",").append(std::to_string(times[i]));
    out += R"(],"lag":{)";
    bool first = true;
    for (const auto &[name, values] : lags)
    {
        if (!first)
            out += ",";
        first = false;
        http::append_json(out, name);
        out += ":[";
        for (size_t i = 0; i < values.size(); i++)
            out.append(i == 0 ? "" : ",").append(values[i] ? std::to_string(*values[i]) : "null");
        out += "]";
    }
    out += "}}";
}

} // namespace http
