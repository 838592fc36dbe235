// How far behind each query was during the last minutes, sample by sample: what a page that is opened now could not have seen.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace http
{

class LagHistory
{
public:
    explicit LagHistory(int64_t window_ms) : window_ms(window_ms) {}

    // A sample begins; what is older than the window goes, and with it queries that are not there any more.
    void begin(int64_t at_ms);
    // The lag of a query in the sample that was begun last.
    void add(std::string_view name, std::optional<int64_t> lag);

    // {"at":[ms, ..],"lag":{"name":[events or null, ..], ..}}; all lists are as long as "at".
    void append_json(std::string &out) const;

    size_t samples() const { return times.size(); }
    size_t queries() const { return lags.size(); }

private:
    using Lags = std::deque<std::optional<int64_t>>;

    int64_t window_ms;
    std::deque<int64_t> times;
    std::map<std::string, Lags, std::less<>> lags; // each as long as times
};

} // namespace http
