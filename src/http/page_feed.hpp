// What open pages are told, once a second: one sample for all of them, and none while no page is open.
//
// A message is the whole state, so a page that is slow to take one is given a later one instead, and never a heap of them; the
// connection sends away who takes nothing at all. The first message to a page also carries the lag of the last minutes.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "http/database.hpp"
#include "http/lag_history.hpp"
#include "http/request.hpp"

namespace http
{

class PageFeed : public std::enable_shared_from_this<PageFeed>
{
public:
    PageFeed(boost::asio::io_context &context, Database &database);

    // GET /events
    void open(const ExchangePtr &exchange);

private:
    struct Page
    {
        std::shared_ptr<Stream> stream;
        bool greeted = false; // it has had the history
        bool gone = false;
    };

    using PagePtr = std::shared_ptr<Page>;

    // The two statements of one sample, on their way.
    struct Sample
    {
        std::string queries, sources; // JSON
        std::string fault;            // a code, perhaps a colon and more; empty: none
        int outstanding = 2;
    };

    void tick();
    void read_sample();
    void took_queries(const std::shared_ptr<Sample> &sample, const ReadResult &result);
    void took_sources(const std::shared_ptr<Sample> &sample, const ReadResult &result);
    void finish(const std::shared_ptr<Sample> &sample);
    void send_to_all();
    void send_to(const PagePtr &page);
    void beat();
    std::string message(bool with_history) const;
    void left(const PagePtr &page);

    Database &database;
    boost::asio::steady_timer timer;
    std::list<PagePtr> pages;
    LagHistory history;

    std::string current;   // the members of the last message, without braces
    bool has_rows = false; // it has queries and sources
    std::optional<int64_t> down_since_ms;
    Clock::time_point sampled; // when the last sample was begun
    Clock::time_point spoke;   // when the pages heard something last
    bool ticking = false, reading = false;
};

} // namespace http
