// Requests that wait until a query includes a position. They hold no connection to the database and no place in its queue:
// those who wait for the same query share one cheap look at its position, again and again, and whoever's position has come
// reads status and data in one statement, as anybody else.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "http/options.hpp"
#include "http/reading.hpp"
#include "http/request.hpp"
#include "http/service_counters.hpp"

namespace http
{

class Waits
{
public:
    Waits(boost::asio::io_context &context, Database &database, const Options &options, ServiceCounters &counters);
    ~Waits();

    // Answers the request once the query includes the position, or an operator is awaited, or when the time is up.
    void answer(const ExchangePtr &exchange, Question question, std::int64_t position,
                std::chrono::milliseconds timeout);

private:
    struct Wait;
    struct Group;
    using WaitPtr = std::shared_ptr<Wait>;

    void read(const WaitPtr &wait);
    void judge(const WaitPtr &wait, const ReadResult &result);
    void set_timer(const WaitPtr &wait, std::chrono::milliseconds time);
    void time_is_up(const WaitPtr &wait);
    void give_up(const WaitPtr &wait);
    void end(const WaitPtr &wait, const Response &response);
    void join(const WaitPtr &wait);
    void look_soon(const std::shared_ptr<Group> &group);
    void look(const std::shared_ptr<Group> &group);
    void looked(const std::shared_ptr<Group> &group, const ReadResult &result);

    boost::asio::io_context &context;
    Database &database;
    const Options &options;
    ServiceCounters &counters;
    std::map<std::string, std::shared_ptr<Group>> groups; // by query and hash
};

} // namespace http
