#include "http/connection.hpp"

#include <algorithm>
#include <cstdint>

#include <sys/socket.h>

#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>

namespace http
{

namespace
{

namespace beast_http = boost::beast::http;
using boost::system::error_code;

constexpr size_t header_limit = 16384; // of a request, its first line included
constexpr size_t target_limit = 8192;
// Of answers, before more requests of the same connection are looked at.
constexpr size_t unsent_limit = size_t{256} * 1024;
constexpr size_t stream_limit = size_t{4} * 1024 * 1024; // of a body that goes on, for a client that does not take it

bool blocks(const error_code &error)
{
    return error == boost::asio::error::would_block || error == boost::asio::error::try_again ||
           error == boost::asio::error::interrupted;
}

// What a header says; of one that comes several times, for those that are a list, all of it (RFC 9110, 5.3).
std::string value_of(const beast_http::fields &header, beast_http::field name)
{
    std::string value;
    const auto [begin, end] = header.equal_range(name);
    for (auto line = begin; line != end; ++line)
    {
        if (line != begin)
            value += ", ";
        value.append(line->value().data(), line->value().size());
    }
    return value;
}

} // namespace

// The connection lives at least as long as somebody could still answer.
class Connection::OneExchange final : public Exchange
{
public:
    explicit OneExchange(std::shared_ptr<Connection> connection) : connection(std::move(connection)) {}

    // A handler that lost its way: the client is not left waiting. Only want of memory can raise an error here, and that is the end.
    // NOLINTNEXTLINE(bugprone-exception-escape)
    ~OneExchange() override
    {
        if (open())
            respond(problem(500, "the request was not answered"));
    }

    void respond(const Response &response) override
    {
        if (open())
            connection->answer(*this, response);
    }

    std::shared_ptr<Stream> stream(const Response &head, std::function<void()> on_end) override
    {
        if (!open())
            return nullptr;
        connection->hangup = std::move(on_end);
        return connection->begin_stream(*this, head);
    }

    void on_hangup(std::function<void()> callback) override
    {
        if (!open())
            return;
        connection->hangup = std::move(callback);
        connection->watched = true;
        connection->await_input();
        connection->drain_late();
    }

    bool open() const { return connection->current == this; }

    std::shared_ptr<Connection> connection;
    bool http_1_0 = false;
};

class Connection::OneStream final : public Stream
{
public:
    explicit OneStream(std::weak_ptr<Connection> connection) : connection(std::move(connection)) {}

    void send(std::string_view data) override
    {
        if (const auto open = mine())
        {
            if (open->unsent() > stream_limit)
                return open->close();
            open->work->out.append(data);
            open->flush();
        }
    }

    void end() override
    {
        if (const auto open = mine())
        {
            open->streaming.reset();
            open->hangup = nullptr;
            open->last_words = true;
            open->flush();
        }
    }

    size_t unsent() const override
    {
        const auto open = mine();
        return open ? open->unsent() : 0;
    }

private:
    std::shared_ptr<Connection> mine() const
    {
        auto open = connection.lock();
        return open && open->streaming.get() == this ? open : nullptr;
    }

    std::weak_ptr<Connection> connection;
};

Connection::Connection(Server &server, boost::asio::ip::tcp::socket socket) : server(server), socket(std::move(socket))
{
}

Connection::~Connection() = default;

void Connection::start()
{
    server.opened();
    server.enter(*this, Phase::reading);
    await_input();
}

void Connection::close()
{
    if (phase == Phase::closed)
        return;
    const auto self = weak_from_this().lock(); // closing the socket may drop the last one who holds us
    server.enter(*this, Phase::closed);
    error_code ignored;
    socket.close(ignored);
    current = nullptr;
    streaming.reset();
    work.reset();
    count_unsent();
    server.gone();
    if (const auto told = std::exchange(hangup, nullptr))
        told();
}

void Connection::drain()
{
    keep_alive = false;
    if (phase == Phase::idle || (phase == Phase::reading && between_requests()))
        close();
    else if (streaming || hangup)
    {
        // What could go on for long is told to come to its end.
        if (const auto told = std::exchange(hangup, nullptr))
            told();
        if (const auto stream = streaming)
            stream->end();
    }
}

// What is still being answered has to make do with this.
void Connection::cut_short(const Response &response)
{
    if (current)
        current->respond(response);
}

// A request whose last bytes came after the service began to stop: drain() has passed by already.
void Connection::drain_late()
{
    if (server.draining())
        boost::asio::post(server.context, [self = shared_from_this()] { self->drain(); });
}

// --- reading --------------------------------------------------------------------------------------------------------

void Connection::await_input()
{
    if (awaiting_input || phase == Phase::closed)
        return;
    awaiting_input = true;
    socket.async_wait(boost::asio::socket_base::wait_read,
                      [self = shared_from_this()](const error_code &error)
                      {
                          self->awaiting_input = false;
                          self->input_arrived(error);
                      });
}

void Connection::input_arrived(const error_code &error)
{
    if (phase == Phase::closed)
        return;
    if (error)
        return close();
    if (!read_some())
        return;
    const bool at_work = current || streaming;
    if (peer_finished && (at_work || phase == Phase::lingering || phase == Phase::idle || !work || work->in.empty()))
        return at_work ? hung_up() : close();
    if (phase == Phase::lingering || streaming)
    {
        if (work)
            work->in.clear(); // nobody listens any more
        return await_input();
    }
    if (!at_work)
        return process();
    // The next request comes before this one is answered. It waits; and as long as it is no longer than a request may be, we
    // can go on looking whether the client is there.
    if (watched && work->in.size() < header_limit)
        await_input();
}

// False: there was nothing after all, and more is awaited.
bool Connection::read_some()
{
    error_code error;
    const size_t count = socket.read_some(boost::asio::buffer(server.scratch), error);
    if (blocks(error))
    {
        await_input();
        return false;
    }
    if (error)
    {
        peer_finished = true;
        return true;
    }
    if (!work)
        work = std::make_unique<Work>();
    work->in.append(server.scratch.data(), count);
    return true;
}

// Answers what has arrived, as far as it can be answered at once.
void Connection::process()
{
    if (processing)
        return; // an answer was given within the loop below
    processing = true;
    const auto self = shared_from_this();
    // Nor while the client takes nothing: it would be in the middle of a request for as long as it likes.
    while (phase != Phase::closed && !current && !streaming && !last_words && !awaiting_output &&
           unsent() < unsent_limit && next_request())
        dispatch();
    processing = false;
    if (phase == Phase::closed || streaming)
        return;
    if (unsent() > 0 || last_words)
        return flush();
    if (!current)
        fall_idle();
}

// Whether a whole header has arrived; a request that cannot be read is refused here.
bool Connection::next_request()
{
    if (!work || work->in.empty())
        return false;
    if (!work->parser)
    {
        work->parser.emplace();
        work->parser->header_limit(header_limit);
        work->parser->body_limit(UINT64_MAX); // none is read: dispatch() says so, whatever its length
        work->parser->eager(false);
        work->first_line_taken = false;
        work->taken = 0;
    }
    error_code error;
    const size_t used = work->parser->put(boost::asio::buffer(work->in), error);
    if (error == beast_http::error::need_more)
        error = {};
    if (error)
    {
        refuse_unreadable(error);
        return false;
    }
    // The parser's own limit is for what it is shown at a time.
    work->taken += used;
    const bool complete = work->parser->is_header_done();
    if (work->taken + (complete ? 0 : work->in.size() - used) > header_limit)
    {
        refuse(problem(431, "the request's header is too long"));
        return false;
    }
    work->in.erase(0, used);
    work->first_line_taken = work->first_line_taken || used > 0;
    return complete;
}

void Connection::refuse_unreadable(const error_code &error)
{
    const bool within_target =
        !work->first_line_taken &&
        std::string_view(work->in).substr(0, target_limit + 32).find("\r\n") == std::string_view::npos;
    if (error == beast_http::error::header_limit && within_target)
        refuse(problem(414, "the request's target is too long"));
    else if (error == beast_http::error::header_limit)
        refuse(problem(431, "the request's header is too long"));
    else if (error == beast_http::error::bad_version)
        refuse(problem(505, "this is a server for HTTP/1.1"));
    else
        refuse(problem(400, "the request is not HTTP/1.1"));
}

// An answer to what reaches no route, and the end of the connection.
void Connection::refuse(const Response &response)
{
    server.counters.record("", "other", response.status, {});
    write_response(work->out, response, {.keep_alive = false, .http_1_0 = false, .head_only = false}, server.date);
    work->parser.reset();
    last_words = more_comes = true;
}

void Connection::dispatch()
{
    const auto header = std::move(work->parser->get().base());
    // Of an encoding that is not "chunked" the parser knows no end, and would take what follows for the next request.
    const bool body =
        header.count(beast_http::field::transfer_encoding) > 0 || work->parser->content_length().value_or(0) > 0;
    keep_alive = work->parser->keep_alive() && !server.draining();
    work->parser.reset();

    server.enter(*this, Phase::handling);
    const auto exchange = std::make_shared<OneExchange>(shared_from_this());
    Request &request = exchange->request();
    request.arrived = entered;
    request.head = header.method() == beast_http::verb::head;
    exchange->http_1_0 = header.version() < 11;
    current = exchange.get();
    const bool known = header.method() == beast_http::verb::get || request.head;
    if (known)
        request.method = request.head ? "HEAD" : "GET";
    // Where a body was sent we would have to read it in order to find the next request; no request here has one.
    if (body)
    {
        keep_alive = false;
        more_comes = true;
    }
    if (known && body)
        exchange->respond(problem(413, "a request has no body here"));
    else if (!exchange->http_1_0 && header.count(beast_http::field::host) != 1)
        exchange->respond(problem(400, "the request has no header Host, or several"));
    else if (header.target().size() > target_limit)
        exchange->respond(problem(414, "the request's target is too long"));
    else
    {
        request.host = value_of(header, beast_http::field::host);
        request.accept = value_of(header, beast_http::field::accept);
        request.authorization = value_of(header, beast_http::field::authorization);
        request.if_none_match = value_of(header, beast_http::field::if_none_match);
        server.dispatch(exchange, std::string_view(header.method_string().data(), header.method_string().size()),
                        std::string_view(header.target().data(), header.target().size()));
    }
}

// --- answering ------------------------------------------------------------------------------------------------------

void Connection::record(const OneExchange &exchange, unsigned status)
{
    const Request &request = exchange.request();
    server.counters.record(request.route ? *request.route : std::string_view(), request.method, status,
                           Clock::now() - request.arrived);
}

void Connection::answer(OneExchange &exchange, const Response &response)
{
    record(exchange, response.status);
    current = nullptr;
    watched = false;
    hangup = nullptr;
    if (response.close || server.draining())
        keep_alive = false;
    write_response(work->out, response,
                   {.keep_alive = keep_alive, .http_1_0 = exchange.http_1_0, .head_only = exchange.request().head},
                   server.date);
    if (!keep_alive)
        last_words = true;
    process();
}

std::shared_ptr<Stream> Connection::begin_stream(OneExchange &exchange, const Response &head)
{
    record(exchange, head.status);
    current = nullptr;
    keep_alive = false;
    write_stream_head(work->out, head, server.date);
    if (exchange.request().head)
    {
        hangup = nullptr;
        last_words = true;
        process();
        return nullptr;
    }
    streaming = std::make_shared<OneStream>(weak_from_this());
    const auto stream = streaming; // sending may end it
    watched = true;
    await_input();
    flush();
    drain_late();
    return stream;
}

void Connection::flush()
{
    if (phase == Phase::closed)
        return;
    if (awaiting_output)
        return count_unsent();
    while (unsent() > 0)
    {
        error_code error;
        work->sent += socket.write_some(boost::asio::buffer(work->out) + work->sent, error);
        if (blocks(error))
        {
            awaiting_output = true;
            server.enter(*this, Phase::writing);
            drop_sent();
            count_unsent();
            socket.async_wait(boost::asio::socket_base::wait_write,
                              [self = shared_from_this()](const error_code &failed)
                              {
                                  self->awaiting_output = false;
                                  if (failed)
                                      self->close();
                                  else
                                      self->flush();
                              });
            return;
        }
        if (error)
            return close();
    }
    all_sent();
}

// Where it is much, and more than is left, so that no byte is moved often.
void Connection::drop_sent()
{
    if (work->sent < unsent_limit || work->sent < unsent())
        return;
    work->out.erase(0, work->sent);
    work->out.shrink_to_fit();
    work->sent = 0;
}

void Connection::count_unsent()
{
    const size_t now = work ? work->out.size() : 0;
    if (now == counted_unsent)
        return;
    server.unsent(static_cast<std::ptrdiff_t>(now) - static_cast<std::ptrdiff_t>(counted_unsent));
    counted_unsent = now;
}

void Connection::all_sent()
{
    if (!work)
        return;
    work->out.clear();
    if (work->out.capacity() > unsent_limit)
        work->out.shrink_to_fit(); // the next request may have arrived already, and has a small answer
    work->sent = 0;
    count_unsent();
    if (streaming || current)
    {
        if (phase != Phase::handling)
            server.enter(*this, Phase::handling);
        return;
    }
    if (last_words)
        return end_gracefully();
    if (between_requests())
        return fall_idle();
    // There may be more requests that have arrived already. Till then nothing is being answered: who comes meanwhile, and finds no room,
    // may take this one's place.
    server.enter(*this, Phase::writing);
    boost::asio::post(server.context, [self = shared_from_this()] { self->process(); });
}

void Connection::fall_idle()
{
    const bool silent = between_requests();
    // The rest of a request is awaited from nobody who has hung up: his end would arrive again and again.
    if (peer_finished || (silent && server.draining()))
        return close();
    if (silent)
        work.reset();
    if (phase == Phase::handling || phase == Phase::writing)
        server.enter(*this, silent ? Phase::idle : Phase::reading);
    else if (phase == Phase::idle && !silent)
        server.enter(*this, Phase::reading);
    await_input();
}

// The client is told that nothing follows. If it sends more than we read, closing now would make the kernel reset the
// connection, and the client could lose what it has not read yet.
void Connection::end_gracefully()
{
    error_code ignored;
    socket.shutdown(boost::asio::socket_base::shutdown_send, ignored);
    if (peer_finished || !(more_comes || (work && !work->in.empty())))
        return close();
    work.reset();
    server.enter(*this, Phase::lingering);
    await_input();
}

void Connection::hung_up()
{
    // Half a connection is enough to read the answer to a request that will not take long. One that may take long is
    // given up, without an answer that would be counted.
    if (streaming || hangup)
        close();
}

} // namespace http
