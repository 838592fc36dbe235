// How the service was told to run: by the command line, else by READMODEL_HTTP_* of the environment, else by a file.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "http/log.hpp"

namespace http
{

struct Options
{
    std::string address;
    unsigned short port = 0;
    std::string database; // a connection string of libpq; what it leaves open, PG* of the environment says
    std::string token;    // empty: none is asked for
    std::string token_file;
    std::vector<std::string> hosts; // names by which clients may call the service, in lower case
    bool allow_superuser = false;
    log::Format log_format = log::Format::text;

    unsigned pool_size = 0;  // connections to the database
    unsigned batch_size = 0; // statements under way on each
    unsigned queue_size = 0; // statements that wait for their turn
    unsigned max_waits = 0;  // requests that wait for a position
    unsigned max_connections = 0;
    std::uint64_t max_unsent = 0; // bytes of answers that clients have not taken

    std::chrono::milliseconds statement_timeout{}, queue_timeout{}, connect_timeout{};
    std::chrono::milliseconds header_timeout{}, idle_timeout{}, write_timeout{}, drain_timeout{};
    std::chrono::milliseconds default_wait{}, max_wait{};
};

struct BadOption : std::runtime_error
{
    explicit BadOption(const std::string &what, std::string option = {})
        : std::runtime_error(what),
          option(std::move(option))
    {
    }

    std::string option; // whose value is wrong, where it is a value
};

// What an argument asks for instead of a service.
enum class Wish
{
    serve,
    help,
    version,
};

// Raises BadOption. The environment: a list of NAME=value that ends with a null pointer.
Wish read_options(const std::vector<std::string> &arguments, const char *const *environment, Options &options);

// Variables with the prefix of ours that mean nothing to us, without those that an orchestrator defines for a service of this name.
std::vector<std::string> unknown_variables(const char *const *environment);

// The token in a file. Raises BadOption.
std::string token_of_file(const std::string &path);

void print_help(std::ostream &out);

} // namespace http
