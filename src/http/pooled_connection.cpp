#include "http/pooled_connection.hpp"

#include <algorithm>
#include <array>

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
        return fail();
    await_input();
}

void PooledConnection::send(std::deque<Read> batch)
{
    reads = std::move(batch);
    send(Points::one_for_all);
}

void PooledConnection::send(Points how)
{
    turn_began = Clock::now();
    bool accepted = true;
    for (Read &read : reads)
    {
        read.tries++;
        accepted = accepted && send_one(read);
        if (how == Points::one_for_each || &read == &reads.back())
        {
            accepted = accepted && PQpipelineSync(connection) == 1;
            points++;
        }
    }
    const int left = accepted ? PQflush(connection) : -1;
    if (left < 0)
        // Not here: who sends may be in the middle of something.
        boost::asio::post(descriptor.get_executor(), [self = shared_from_this()] { self->fail(); });
    else if (left > 0)
        await_output();
}

bool PooledConnection::send_one(const Read &read)
{
    constexpr size_t most = 8;
    std::array<const char *, most> values{};
    for (size_t i = 0; i < read.parameters.size() && i < most; i++)
        values[i] = read.parameters[i] ? read.parameters[i]->c_str() : nullptr;
    // The server keeps results back until the end of the batch. Several that take long would then look like a server that hangs, and
    // keep those before them from their answers.
    return PQsendQueryPrepared(connection, read.statement->name, static_cast<int>(read.parameters.size()),
                               values.data(), nullptr, nullptr, 0) == 1 &&
           (read.statement->brief || PQsendFlushRequest(connection) == 1);
}

void PooledConnection::await_input()
{
    descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read,
                          [self = shared_from_this()](const error_code &error)
                          {
                              if (self->failed)
                                  return;
                              if (error || PQconsumeInput(self->connection) == 0)
                                  return self->fail();
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
                                  self->fail();
                              else if (left > 0)
                                  self->await_output();
                          });
}

void PooledConnection::take_results()
{
    // libpq marks the end of a statement's results by none; two in a row mean that there is nothing.
    int none = 0;
    while (!failed && points > 0 && none < 2 && PQisBusy(connection) == 0)
    {
        ResultPtr part(PQgetResult(connection));
        none = part ? 0 : none + 1;
        if (part)
            take(std::move(part));
    }
    if (PQstatus(connection) == CONNECTION_BAD)
        fail();
}

void PooledConnection::take(ResultPtr part)
{
    turn_began = Clock::now();
    const ExecStatusType status = PQresultStatus(part.get());
    if (status == PGRES_PIPELINE_SYNC)
    {
        points--;
        if (points > 0)
            return;
        reads = std::exchange(passed_over, {});
        if (reads.empty())
            return database.has_turn();
        return send(Points::one_for_each);
    }
    if (reads.empty())
        return fail(); // an error that belongs to no statement
    Read done = std::move(reads.front());
    reads.pop_front();
    if (status == PGRES_PIPELINE_ABORTED)
        return passed_over.push_back(std::move(done));
    ReadResult result;
    result.kind = status == PGRES_TUPLES_OK ? ReadResult::Kind::rows : ReadResult::Kind::error;
    if (result.kind == ReadResult::Kind::error)
    {
        const char *sqlstate = PQresultErrorField(part.get(), PG_DIAG_SQLSTATE);
        result.sqlstate = sqlstate ? sqlstate : "";
        // The server says that it is about to end the connection.
        if (result.sqlstate.empty() || result.sqlstate.starts_with("57P") || result.sqlstate.starts_with("08"))
        {
            reads.push_front(std::move(done));
            return fail();
        }
    }
    result.result = std::move(part);
    done.callback(result);
}

bool PooledConnection::reads_of(const std::string &query) const
{
    const auto of_query = [&](const Read &read) { return read.query() && *read.query() == query; };
    return std::any_of(reads.begin(), reads.end(), of_query) ||
           std::any_of(passed_over.begin(), passed_over.end(), of_query);
}

bool PooledConnection::serves_others() const
{
    const auto other = [](const Read &read) { return read.statement->touches != Touches::catalog; };
    return std::any_of(reads.begin(), reads.end(), other) || std::any_of(passed_over.begin(), passed_over.end(), other);
}

std::set<std::string> PooledConnection::waited_for(std::chrono::milliseconds limit) const
{
    std::set<std::string> queries;
    if (Clock::now() - turn_began > limit)
        for (const Read &read : reads)
            if (const std::string *const query = read.query())
                queries.insert(*query);
    return queries;
}

void PooledConnection::check(std::chrono::milliseconds limit)
{
    if (points > 0 && Clock::now() - turn_began > limit)
        fail("no answer in time");
}

void PooledConnection::fail(const char *reason)
{
    if (failed)
        return;
    failed = true;
    const auto self = shared_from_this();
    // Now, and not when the last handler lets go of us: where libpq has closed its socket already, the next client's may get its number,
    // and would be forgotten in its place.
    descriptor.release();
    std::move(passed_over.begin(), passed_over.end(), std::back_inserter(reads));
    database.broken(*this, std::exchange(reads, {}), reason);
}

std::string PooledConnection::error() const
{
    return PQerrorMessage(connection);
}

} // namespace http
