// Opens connections to the database on a thread of its own, since looking up a name, and much of what authentication does,
// blocks. What it hands over is ready for use: its settings are made, its role was looked at, and every statement is prepared.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include <libpq-fe.h>

#include "http/options.hpp"

namespace http
{

struct Attempt
{
    PGconn *connection = nullptr; // null: it failed
    std::string message;          // why, for the log
    bool refused = false;         // not the database's fault: the role is one that must not be used
};

class Connector
{
public:
    // The callback is called by the connector's thread.
    Connector(const Options &options, std::function<void(Attempt)> done);
    ~Connector();

    // One attempt. Not to be called again before it is done.
    void attempt();

private:
    void run();
    Attempt connect() const;

    const Options &options;
    std::function<void(Attempt)> done;
    std::mutex mutex;
    std::condition_variable wakeup;
    bool wanted = false, stopping = false;
    std::thread thread;
};

} // namespace http
