#include "http/waits.hpp"

#include <algorithm>
#include <set>

#include "http/readiness.hpp"
#include "http/report.hpp"

namespace http
{

namespace
{

// Between two looks: a twentieth of the time that the youngest has waited already.
constexpr auto shortest_pause = std::chrono::milliseconds(5);
constexpr auto longest_pause = std::chrono::milliseconds(50);
// An older generation answers while the newest is built; how far that one is, the report does not tell.
constexpr auto pause_of_stale = std::chrono::milliseconds(100);

std::chrono::milliseconds since(Clock::time_point from)
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - from);
}

// The last read of a request whose time is up has this long.
constexpr auto last_read_time = std::chrono::seconds(1);

// An operator's decision is awaited, which may take for ever, or there is nothing to wait for.
bool ends_wait(std::string_view status)
{
    return status == "failed" || status == "paused" || status == "gated" || status == "unknown" || status == "hidden";
}

// What was last heard of a query.
struct Heard
{
    std::string status, reason, generation, definition_hash, position;
};

Response too_late(const Heard &heard)
{
    std::string members = ",\"position\":" + (heard.position.empty() ? "null" : heard.position);
    if (!heard.status.empty())
    {
        members += ",\"queryStatus\":";
        append_json(members, heard.status);
    }
    if (!heard.reason.empty())
    {
        members += ",\"reason\":";
        append_json(members, heard.reason);
    }
    Response response = problem(504, "the query did not reach the position in time", members);
    const auto header = [&](std::string_view name, const std::string &value)
    {
        if (!value.empty())
            response.header(name, value);
    };
    header("X-Query-Status", heard.status);
    header("X-Query-Generation", heard.generation);
    header("X-Query-Definition-Hash", heard.definition_hash);
    header("X-Query-Position", heard.position);
    return response;
}

} // namespace

struct Waits::Wait
{
    Wait(boost::asio::io_context &context, ExchangePtr exchange, Question question, std::int64_t wanted)
        : exchange(std::move(exchange)),
          question(std::move(question)),
          wanted(wanted),
          timer(context)
    {
    }

    ExchangePtr exchange;
    Question question;
    std::int64_t wanted;
    boost::asio::steady_timer timer;
    Clock::time_point began = Clock::now(), last_read = began;
    Heard heard;
    Heard held;                   // the newest generation, where an operator holds it and an older one answers
    std::shared_ptr<Group> group; // none while it reads
    bool reading = false, late = false, over = false;
    bool let_in = false; // it has found room once, and has waited since
};

struct Waits::Group
{
    Group(boost::asio::io_context &context, std::string key, std::string query, std::optional<std::string> hash)
        : key(std::move(key)),
          query(std::move(query)),
          hash(std::move(hash)),
          timer(context)
    {
    }

    std::string key, query;
    std::optional<std::string> hash;
    boost::asio::steady_timer timer;
    std::set<WaitPtr> waits;
    bool looking = false; // a look is under way, or about to be
};

Waits::Waits(boost::asio::io_context &context, Database &database, const Options &options, ServiceCounters &counters)
    : context(context),
      database(database),
      options(options),
      counters(counters)
{
}

Waits::~Waits() = default;

void Waits::answer(const ExchangePtr &exchange, Question question, std::int64_t position,
                   std::chrono::milliseconds timeout)
{
    if (counters.position_waits >= options.max_waits)
        return exchange->respond(overloaded());
    const auto wait = std::make_shared<Wait>(context, exchange, std::move(question), position);
    counters.position_waits++;
    set_timer(wait, timeout);
    exchange->on_hangup(
        [this, weak = std::weak_ptr(wait)]
        {
            if (const auto waiting = weak.lock())
                give_up(waiting);
        });
    read(wait); // most often it is there already
}

void Waits::read(const WaitPtr &wait)
{
    wait->reading = true;
    wait->last_read = Clock::now();
    if (wait->group)
        wait->group->waits.erase(wait);
    wait->group.reset();
    ask(database, wait->question, [this, wait](const ReadResult &result) { judge(wait, result); });
}

void Waits::judge(const WaitPtr &wait, const ReadResult &result)
{
    wait->reading = false;
    if (wait->over)
        return;
    if (result.kind == ReadResult::Kind::rows)
    {
        const Answer answer(result);
        wait->heard = {std::string(answer.status), std::string(answer.reason),
                       std::string(answer.generation.value_or("")), std::string(answer.definition_hash.value_or("")),
                       std::string(answer.position_text.value_or(""))};
        const bool reached = answer.position && *answer.position >= wait->wanted;
        if (!(reached && (answer.may_be_read() || wait->late)) && !ends_wait(answer.status) && !answer.has_invalid_id())
        {
            if (!wait->held.status.empty())
            {
                Response response = status_response(503, wait->held.status, wait->held.reason);
                add_generation_headers(response, wait->held.status, wait->held.generation, wait->held.definition_hash);
                add_retry_after(response, wait->held.status, std::nullopt);
                return end(wait, response);
            }
            return wait->late ? end(wait, too_late(wait->heard)) : join(wait);
        }
    }
    // Of many whose position has come at the same time not all find room. They were let in, so they look again, or are told what
    // was heard last.
    if ((result.kind == ReadResult::Kind::overloaded || result.kind == ReadResult::Kind::no_turn) && wait->let_in)
        return wait->late ? end(wait, too_late(wait->heard)) : join(wait);
    end(wait, answer_to(wait->question, result, wait->exchange->request()));
}

// A last read tells why, or that the service may not read the query any more.
void Waits::time_is_up(const WaitPtr &wait)
{
    if (wait->over)
        return;
    if (std::exchange(wait->late, true))
        return end(wait, too_late(wait->heard));
    set_timer(wait, last_read_time);
    if (!wait->reading)
        read(wait);
}

void Waits::set_timer(const WaitPtr &wait, std::chrono::milliseconds time)
{
    wait->timer.expires_after(time);
    wait->timer.async_wait(
        [this, wait](const boost::system::error_code &error)
        {
            if (!error)
                time_is_up(wait);
        });
}

// The client is gone, or the service stops.
void Waits::give_up(const WaitPtr &wait)
{
    if (!wait->over)
        end(wait, stopping());
}

void Waits::end(const WaitPtr &wait, const Response &response)
{
    wait->over = true;
    counters.position_waits--;
    wait->timer.cancel();
    if (const auto group = std::exchange(wait->group, nullptr))
        group->waits.erase(wait);
    wait->exchange->respond(response);
    wait->exchange.reset();
}

void Waits::join(const WaitPtr &wait)
{
    wait->let_in = true;
    const std::string key = wait->question.query + '\0' + wait->question.hash.value_or("");
    std::shared_ptr<Group> &group = groups[key];
    if (!group)
        group = std::make_shared<Group>(context, key, wait->question.query, wait->question.hash);
    group->waits.insert(wait);
    wait->group = group;
    if (!group->looking)
        look_soon(group);
}

void Waits::look_soon(const std::shared_ptr<Group> &group)
{
    if (group->waits.empty())
    {
        group->looking = false;
        groups.erase(group->key);
        return;
    }
    group->looking = true;
    auto pause = longest_pause;
    for (const WaitPtr &wait : group->waits)
        pause = std::min(pause, std::max(shortest_pause, since(wait->began) / 20));
    group->timer.expires_after(pause);
    group->timer.async_wait(
        [this, group](const boost::system::error_code &error)
        {
            if (!error)
                look(group);
        });
}

void Waits::look(const std::shared_ptr<Group> &group)
{
    database.read(statements::readiness_report, {text_array({group->query}), group->hash, "false"},
                  [this, group](const ReadResult &result) { looked(group, result); });
}

void Waits::looked(const std::shared_ptr<Group> &group, const ReadResult &result)
{
    if (result.kind != ReadResult::Kind::overloaded && result.kind != ReadResult::Kind::no_turn)
    {
        const bool known = result.kind == ReadResult::Kind::rows && result.rows() == 1;
        const std::string_view status = known ? result.text(0, report::status).value_or("") : "";
        const auto position = known ? result.integer(0, report::position) : std::nullopt;
        const auto text = [&](int column) { return std::string(known ? result.text(0, column).value_or("") : ""); };
        const Heard heard = {text(report::status), text(report::reason), text(report::generation),
                             text(report::definition_hash), text(report::position)};
        const bool stale = text(report::served) == "stale";
        // A read says what is wrong, too, and is the answer.
        const bool ends = !known || ends_wait(status);
        for (const WaitPtr &wait : std::set(group->waits))
        {
            // The rest comes with the next look: most of the queue is for who does not wait.
            if (database.crowded(group->query))
                break;
            if (!stale && known)
                wait->heard = heard;
            wait->held = stale && ends ? heard : Heard();
            const bool reached = position && *position >= wait->wanted && status == "ready";
            if (ends || reached || (stale && since(wait->last_read) >= pause_of_stale))
                read(wait);
        }
    }
    look_soon(group);
}

} // namespace http
