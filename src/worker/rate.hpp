// How fast something moves lately: events per second as a moving average, and the time that is left. Knows nothing of PostgreSQL.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

namespace worker
{

class Rate
{
public:
    // `events` more were done by `now` (microseconds).
    void add(std::int64_t events, std::int64_t now)
    {
        if (!last)
        {
            last = now;
            waiting = events;
            return;
        }
        waiting += events;
        const double seconds = static_cast<double>(now - *last) / 1e6;
        if (seconds < shortest_window)
            return;
        const double current = static_cast<double>(waiting) / seconds;
        // The weight of the past halves every `half_life`, however the calls come.
        const double past = average ? std::exp2(-seconds / half_life) : 0.0;
        average = past * average.value_or(0.0) + (1.0 - past) * current;
        last = now;
        waiting = 0;
    }

    double per_second() const { return average.value_or(0.0); }

private:
    static constexpr double half_life = 5.0;        // seconds
    static constexpr double shortest_window = 0.25; // seconds

    std::optional<std::int64_t> last;
    std::optional<double> average;
    std::int64_t waiting = 0;
};

} // namespace worker
