#include "http/connector.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <poll.h>

#include "http/database.hpp"
#include "http/statements.hpp"

namespace http
{

namespace
{

// Nothing of the role's or the database's settings may change what our statements mean or how their results look.
constexpr const char *session_settings =
    "SET default_transaction_read_only = on; SET default_transaction_isolation = 'read committed'; "
    "SET default_transaction_deferrable = off; SET search_path = pg_catalog; SET row_security = on; SET jit = off; "
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1; SET idle_session_timeout = 0; "
    "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = ";

constexpr const char *sees_queries = "SELECT " READMODEL_SEES_QUERIES;

struct Finish
{
    void operator()(PGconn *connection) const { PQfinish(connection); }
};

Attempt failed(PGconn *connection, const std::string &what)
{
    const std::string message = PQerrorMessage(connection);
    return {nullptr, what + (message.empty() ? "no answer in time" : message), false};
}

// The last result of what was sent; nothing if it does not come in time. PQexec() would wait for ever for a server that was there
// when the connection was made and has fallen silent since.
ResultPtr awaited(PGconn *connection, bool sent, Clock::time_point until)
{
    ResultPtr last;
    while (sent)
    {
        while (PQisBusy(connection) != 0)
        {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
            pollfd input{PQsocket(connection), POLLIN, 0};
            if (left <= 0 || poll(&input, 1, static_cast<int>(left)) <= 0 || PQconsumeInput(connection) == 0)
                return nullptr;
        }
        ResultPtr part(PQgetResult(connection));
        if (!part)
            break;
        last = std::move(part);
    }
    return last;
}

bool came_to(const ResultPtr &result, ExecStatusType expected)
{
    return result && PQresultStatus(result.get()) == expected;
}

} // namespace

Connector::Connector(const Options &options, std::function<void(Attempt)> done)
    : options(options),
      done(std::move(done)),
      thread([this] { run(); })
{
}

Connector::~Connector()
{
    {
        const std::lock_guard lock(mutex);
        stopping = true;
    }
    wakeup.notify_one();
    thread.join();
}

void Connector::attempt()
{
    {
        const std::lock_guard lock(mutex);
        wanted = true;
    }
    wakeup.notify_one();
}

void Connector::run()
{
    // Signals are the main thread's.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    for (;;)
    {
        {
            std::unique_lock lock(mutex);
            wakeup.wait(lock, [this] { return wanted || stopping; });
            if (stopping)
                return;
            wanted = false;
        }
        done(connect());
    }
}

Attempt Connector::connect() const
{
    const std::string seconds = std::to_string(std::max<long long>(1, options.connect_timeout.count() / 1000));
    const bool own_timeout = std::getenv("PGCONNECT_TIMEOUT") == nullptr;
    // What stands later counts, so the connection string overrides what comes before it.
    const char *const keywords[] = {"fallback_application_name",
                                    own_timeout ? "connect_timeout" : "fallback_application_name", "dbname",
                                    "client_encoding", nullptr};
    const char *const values[] = {"readmodel-http", own_timeout ? seconds.c_str() : "readmodel-http",
                                  options.database.c_str(), "UTF8", nullptr};
    std::unique_ptr<PGconn, Finish> connection(PQconnectdbParams(keywords, values, 1));
    if (!connection)
        return {nullptr, "out of memory", false};
    if (PQstatus(connection.get()) != CONNECTION_OK)
        return failed(connection.get(), "");
    PQsetNoticeProcessor(
        connection.get(), [](void *, const char *) {}, nullptr);

    const char *superuser = PQparameterStatus(connection.get(), "is_superuser");
    if (!options.allow_superuser && (!superuser || std::strcmp(superuser, "off") != 0))
        return {nullptr,
                "role \"" + std::string(PQuser(connection.get())) +
                    "\" is a superuser; use a role that readmodel.grant_reader() was called for, or --allow-superuser",
                true};
    const auto until = Clock::now() + options.connect_timeout;
    const auto execute = [&](const char *text)
    { return awaited(connection.get(), PQsendQuery(connection.get(), text) == 1, until); };
    const std::string settings = session_settings + std::to_string(options.statement_timeout.count());
    if (!came_to(execute(settings.c_str()), PGRES_COMMAND_OK))
        return failed(connection.get(), "could not set up the session: ");
    const ResultPtr sees = execute(sees_queries);
    if (!came_to(sees, PGRES_TUPLES_OK))
        return failed(connection.get(), "the extension pg_readmodel is not in this database: ");
    if (std::strcmp(PQgetvalue(sees.get(), 0, 0), "t") != 0)
        return {nullptr,
                "role \"" + std::string(PQuser(connection.get())) +
                    "\" may not see the queries: call readmodel.grant_reader() for it",
                false};
    for (const Statement &statement : statements::all)
    {
        const bool sent = PQsendPrepare(connection.get(), statement.name, statement.text, 0, nullptr) == 1;
        if (!came_to(awaited(connection.get(), sent, until), PGRES_COMMAND_OK))
            return failed(connection.get(), "could not prepare \"" + std::string(statement.name) + "\": ");
    }
    return {connection.release(), "", false};
}

} // namespace http
