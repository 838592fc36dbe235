// Requests for the same thing share a read that began after they arrived, never an older one: a request that comes while a
// read is under way waits for the next, which begins as soon as this one is done. So however many ask, there is one read at a
// time, and nobody is told what was true before he asked.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace http
{

template <typename Result>
class SharedReads
{
public:
    using Waiting = std::function<void(const Result &)>;
    // Begins a read and calls what it is given once, when it is done.
    using Begin = std::function<void(std::function<void(const Result &)>)>;

    // Requests with the same key ask for the same thing.
    void ask(const std::string &key, const Begin &begin, Waiting waiting)
    {
        Entry &entry = entries[key];
        entry.next.push_back(std::move(waiting));
        if (!entry.running)
            run(key, begin);
    }

private:
    struct Entry
    {
        bool running = false;
        std::vector<Waiting> under_way, next;
    };

    void run(const std::string &key, const Begin &begin)
    {
        Entry &entry = entries[key];
        entry.running = true;
        entry.under_way = std::exchange(entry.next, {});
        begin([this, key, begin](const Result &result) { done(key, begin, result); });
    }

    void done(const std::string &key, const Begin &begin, const Result &result)
    {
        const std::vector<Waiting> answered = std::exchange(entries[key].under_way, {});
        entries[key].running = false;
        if (entries[key].next.empty())
            entries.erase(key);
        else
            run(key, begin);
        for (const Waiting &waiting : answered)
            waiting(result);
    }

    std::unordered_map<std::string, Entry> entries;
};

} // namespace http
