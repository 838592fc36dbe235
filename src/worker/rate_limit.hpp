// How long a lane should pause to keep to a limit of events per second. Knows nothing of PostgreSQL.
#pragma once

#include <algorithm>
#include <cstdint>

namespace worker
{

class RateLimit
{
public:
    // Counting begins now (microseconds).
    void begin(std::int64_t now)
    {
        since = now;
        events = 0;
    }

    // Events per second; 0: no limit. What was read under another limit says nothing about this one.
    void set(int per_second, std::int64_t now)
    {
        if (per_second == limit)
            return;
        limit = per_second;
        begin(now);
    }

    int per_second() const { return limit; }
    void add(std::int64_t more) { events += more; }

    // How long the events so far should still have taken.
    long over_ms(std::int64_t now) const
    {
        if (limit == 0)
            return 0;
        const std::int64_t due_us = events * 1'000'000 / limit;
        return static_cast<long>(std::max<std::int64_t>(0, due_us - (now - since)) / 1000);
    }

private:
    int limit = 0;
    std::int64_t since = 0;
    std::int64_t events = 0;
};

} // namespace worker
