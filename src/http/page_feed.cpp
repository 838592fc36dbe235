#include "http/page_feed.hpp"

#include <cstdio>
#include <ctime>
#include <vector>

#include "http/fault.hpp"
#include "http/row_json.hpp"
#include "http/service.hpp"
#include "http/statements.hpp"

namespace http
{

namespace
{

using namespace std::chrono_literals;

constexpr auto interval = 1s;
constexpr auto fresh = 900ms; // a page that is opened this soon after a sample gets that one
constexpr auto silence = 5s;  // then a line that means nothing is sent, so that a page can tell a dead service
constexpr size_t most_pages = 100;
constexpr int64_t history_ms = 300'000;

int64_t now_ms()
{
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// RFC 3339, UTC, milliseconds.
std::string rfc3339(int64_t ms)
{
    const std::time_t seconds = ms / 1000;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char day[32], text[48];
    std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text, sizeof text, "%s.%03dZ", day, static_cast<int>(ms % 1000));
    return text;
}

// The last row says so.
bool tells_hidden(const ReadResult &result)
{
    constexpr int status_column = 1;
    return result.rows() > 0 && result.text(result.rows() - 1, status_column) == queries_hidden;
}

} // namespace

PageFeed::PageFeed(boost::asio::io_context &context, Database &database)
    : database(database),
      timer(context),
      history(history_ms)
{
}

void PageFeed::open(const ExchangePtr &exchange)
{
    if (pages.size() >= most_pages)
        return exchange->respond(overloaded());
    const auto page = std::make_shared<Page>();
    Response head;
    head.type = "text/event-stream; charset=utf-8";
    const std::weak_ptr<PageFeed> self = weak_from_this();
    page->stream = exchange->stream(head,
                                    [self, page]
                                    {
                                        if (const auto feed = self.lock())
                                            feed->left(page);
                                    });
    if (!page->stream)
        return; // HEAD
    if (page->gone)
        return page->stream->end();
    pages.push_back(page);
    if (!current.empty() && Clock::now() - sampled < fresh)
        send_to(page);
    if (!ticking)
        tick();
}

// The client is gone, or the service stops.
void PageFeed::left(const PagePtr &page)
{
    page->gone = true;
    pages.remove(page);
    if (pages.empty())
    {
        // What nobody sees is not followed, so it says nothing to who comes later.
        current.clear();
        down_since_ms.reset();
    }
    if (page->stream)
        page->stream->end();
}

void PageFeed::tick()
{
    if (pages.empty())
    {
        ticking = false;
        return;
    }
    ticking = true;
    timer.expires_after(interval);
    timer.async_wait(
        [self = shared_from_this()](const boost::system::error_code &error)
        {
            if (!error)
                self->tick();
        });
    if (!reading)
        read_sample();
    if (Clock::now() - spoke >= silence)
        beat();
}

void PageFeed::read_sample()
{
    reading = true;
    sampled = Clock::now();
    const auto sample = std::make_shared<Sample>();
    database.read(statements::page_queries, {},
                  [self = shared_from_this(), sample](const ReadResult &result)
                  { self->took_queries(sample, result); });
    database.read(statements::page_sources, {},
                  [self = shared_from_this(), sample](const ReadResult &result)
                  { self->took_sources(sample, result); });
}

void PageFeed::took_queries(const std::shared_ptr<Sample> &sample, const ReadResult &result)
{
    sample->fault = tells_hidden(result) ? queries_hidden : fault_of(result);
    if (!sample->fault.empty())
        return finish(sample);
    append_rows_json(sample->queries, result.result.get());
    history.begin(now_ms());
    const int name = PQfnumber(result.result.get(), "name"), lag = PQfnumber(result.result.get(), "lag");
    for (int row = 0; row < result.rows(); row++)
        history.add(result.text(row, name).value_or(""), result.integer(row, lag));
    finish(sample);
}

void PageFeed::took_sources(const std::shared_ptr<Sample> &sample, const ReadResult &result)
{
    if (const std::string fault = fault_of(result); !fault.empty())
        sample->fault = fault;
    else
        append_rows_json(sample->sources, result.result.get());
    finish(sample);
}

void PageFeed::finish(const std::shared_ptr<Sample> &sample)
{
    if (--sample->outstanding > 0)
        return;
    reading = false;
    if (pages.empty())
        return;
    const int64_t now = now_ms();
    has_rows = sample->fault.empty();
    current = R"("at":")" + rfc3339(now) + R"(","database":)";
    if (has_rows)
    {
        down_since_ms.reset();
        current.append(R"(true,"queries":)").append(sample->queries).append(R"(,"sources":)").append(sample->sources);
    }
    else
    {
        if (!down_since_ms)
            down_since_ms = now;
        current.append(R"(false,"reason":)");
        append_json(current, sample->fault);
        current.append(R"(,"since":")").append(rfc3339(*down_since_ms)).append("\"");
    }
    send_to_all();
}

void PageFeed::send_to_all()
{
    spoke = Clock::now();
    // Sending can end a stream, which takes its page out of the list.
    for (const PagePtr &page : std::vector(pages.begin(), pages.end()))
        send_to(page);
}

void PageFeed::send_to(const PagePtr &page)
{
    if (page->gone || page->stream->unsent() > 0)
        return;
    const bool greet = has_rows && !page->greeted;
    page->greeted = page->greeted || greet;
    page->stream->send("data: {" + message(greet) + "}\n\n");
}

std::string PageFeed::message(bool with_history) const
{
    std::string text = current;
    if (with_history)
    {
        text += R"(,"history":)";
        history.append_json(text);
    }
    return text;
}

void PageFeed::beat()
{
    spoke = Clock::now();
    for (const PagePtr &page : std::vector(pages.begin(), pages.end()))
    {
        if (!page->gone && page->stream->unsent() == 0)
            page->stream->send(": alive\n\n");
    }
}

void add_page_feed_routes(Service &service)
{
    const auto feed = std::make_shared<PageFeed>(service.context, service.database);
    service.router.add("/events", Access::guarded, [feed](const ExchangePtr &exchange) { feed->open(exchange); });
}

} // namespace http
