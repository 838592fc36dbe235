// One connection of a client: reads requests, has them answered one after another in the order in which they came, and sends
// the answers. What arrives meanwhile waits. A connection that is silent has no buffer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "http/server.hpp"

namespace http
{

class Connection : public ListHook, public std::enable_shared_from_this<Connection>
{
public:
    Connection(Server &server, boost::asio::ip::tcp::socket socket);
    ~Connection();

    void start();
    // Ends at once; a handler that is still at work is told, and speaks to nobody.
    void close();
    // The service stops: closed if idle, else after the answer.
    void drain();
    // The request that is being answered gets this.
    void cut_short(const Response &response);

    Clock::time_point entered; // its present phase
    Phase phase = Phase::closed;

private:
    class OneExchange;
    class OneStream;
    using Parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

    // What only a connection has that is at work.
    struct Work
    {
        std::optional<Parser> parser;
        std::string in, out;
        size_t taken = 0;              // of in, by the parser for this request's header
        size_t sent = 0;               // of out
        bool first_line_taken = false; // by the parser, of a request whose header has not arrived in whole
    };

    void await_input();
    void input_arrived(const boost::system::error_code &error);
    bool read_some();
    void process();
    bool next_request();
    void dispatch();
    void refuse_unreadable(const boost::system::error_code &error);
    void refuse(const Response &response);
    void record(const OneExchange &exchange, unsigned status);
    void answer(OneExchange &exchange, const Response &response);
    std::shared_ptr<Stream> begin_stream(OneExchange &exchange, const Response &head);
    void flush();
    void all_sent();
    void hung_up();
    void fall_idle();
    void end_gracefully();
    void drain_late();
    // Nothing of a request has arrived; the parser may have taken the first line out of what is in.
    bool between_requests() const { return !work || (work->in.empty() && !work->parser); }
    void drop_sent();
    void count_unsent();
    size_t unsent() const { return work ? work->out.size() - work->sent : 0; }

    Server &server;
    boost::asio::ip::tcp::socket socket;
    std::unique_ptr<Work> work;
    size_t counted_unsent = 0;            // by the server, for us
    OneExchange *current = nullptr;       // the request that is being answered
    std::function<void()> hangup;         // who wants to know
    std::shared_ptr<OneStream> streaming; // the body that goes on
    bool awaiting_input = false, awaiting_output = false, processing = false;
    bool keep_alive = true, last_words = false, peer_finished = false, watched = false;
    bool more_comes = false; // that nobody will read
};

} // namespace http
