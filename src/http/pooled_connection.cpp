#include "http/pooled_connection.hpp"

#include <array>

#include "http/log.hpp"

namespace http
{

using boost::system::error_code;

PooledConnection::PooledConnection(boost::asio::io_context &context, Database &database, PGconn *connection)
    : database(database),
      connection(connection),
      descriptor(context, PQsocket(connection))
{
}

PooledConnection::~PooledConnection()
{
    descriptor.release(); // it is libpq's
    PQfinish(connection);
}

void PooledConnection::start()
{
    if (PQsetnonblocking(connection, 1) != 0 || PQenterPipelineMode(connection) != 1)
        return fail(false);
    await_input();
}

void PooledConnection::send(Read read)
{
    constexpr size_t most = 8;
    std::array<const char *, most> values{};
    for (size_t i = 0; i < read.parameters.size() && i < most; i++)
        values[i] = read.parameters[i] ? read.parameters[i]->c_str() : nullptr;
    if (reads.empty())
        turn_began = Clock::now();
    read.tries++;
    reads.push_back(std::move(read));
    const Read &sent = reads.back();
    const bool accepted =
        PQsendQueryPrepared(connection, sent.statement->name, static_cast<int>(sent.parameters.size()), values.data(),
                            nullptr, nullptr, 0) == 1 &&
        PQpipelineSync(connection) == 1;
    const int left = accepted ? PQflush(connection) : -1;
    if (left < 0)
        // Not here: who sends may be in the middle of something.
        boost::asio::post(descriptor.get_executor(), [self = shared_from_this()] { self->fail(false); });
    else if (left > 0)
        await_output();
}

void PooledConnection::await_input()
{
    descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read,
                          [self = shared_from_this()](const error_code &error)
                          {
                              if (self->failed)
                                  return;
                              if (error || PQconsumeInput(self->connection) == 0)
                                  return self->fail(false);
                              self->take_results();
                              if (!self->failed)
                                  self->await_input();
                          });
}

void PooledConnection::await_output()
{
    if (awaiting_output)
        return;
    awaiting_output = true;
    descriptor.async_wait(boost::asio::posix::descriptor_base::wait_write,
                          [self = shared_from_this()](const error_code &error)
                          {
                              self->awaiting_output = false;
                              if (self->failed)
                                  return;
                              const int left = error ? -1 : PQflush(self->connection);
                              if (left < 0)
                                  self->fail(false);
                              else if (left > 0)
                                  self->await_output();
                          });
}

void PooledConnection::take_results()
{
    // libpq marks the end of a statement's results by none; two in a row mean that there is nothing.
    int none = 0;
    while (!failed && !reads.empty() && none < 2 && PQisBusy(connection) == 0)
    {
        ResultPtr part(PQgetResult(connection));
        if (!part)
        {
            none++;
            continue;
        }
        none = 0;
        switch (PQresultStatus(part.get()))
        {
        case PGRES_TUPLES_OK:
            result.kind = ReadResult::Kind::rows;
            result.result = std::move(part);
            break;
        case PGRES_PIPELINE_SYNC:
        {
            const Read done = std::move(reads.front());
            const ReadResult whole = std::exchange(result, {});
            reads.pop_front();
            turn_began = Clock::now();
            database.read_finished();
            done.callback(whole);
            break;
        }
        default:
        {
            const char *sqlstate = PQresultErrorField(part.get(), PG_DIAG_SQLSTATE);
            const std::string code = sqlstate ? sqlstate : "";
            // The server tells that it ends the connection before it does.
            if (code.empty() || code.starts_with("57P") || code.starts_with("08"))
                return fail(false);
            result.kind = ReadResult::Kind::error;
            result.result = std::move(part);
            result.sqlstate = code;
        }
        }
    }
    if (PQstatus(connection) == CONNECTION_BAD)
        fail(false);
}

void PooledConnection::check(std::chrono::milliseconds limit)
{
    if (!reads.empty() && Clock::now() - turn_began > limit)
        fail(true);
}

void PooledConnection::fail(bool hangs)
{
    if (failed)
        return;
    failed = true;
    const auto self = shared_from_this();
    log::warning("lost a connection to the database",
                 {{"error", hangs ? "no answer in time" : PQerrorMessage(connection)}});
    error_code ignored;
    descriptor.cancel(ignored);
    database.broken(*this, std::exchange(reads, {}), hangs);
}

} // namespace http
