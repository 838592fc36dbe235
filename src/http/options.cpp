#include "http/options.hpp"

#include <algorithm>
#include <cctype>
#include <climits>
#include <fstream>
#include <iterator>
#include <optional>
#include <ostream>
#include <sstream>

#include <boost/asio/ip/address.hpp>
#include <boost/program_options.hpp>
#include <libpq-fe.h>

namespace po = boost::program_options;

namespace http
{

namespace
{

constexpr std::string_view prefix = "READMODEL_HTTP_";

// A time with its unit: 250ms, 10s, 2min; a number alone is seconds.
struct Duration
{
    std::chrono::milliseconds value{};
};

void validate(boost::any &result, const std::vector<std::string> &values, Duration *, int)
{
    po::validators::check_first_occurrence(result);
    const std::string &text = po::validators::get_single_string(values);
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view unit = std::string_view(text).substr(digits);
    const long long factor = unit == "ms" ? 1 : unit == "s" || unit.empty() ? 1000 : unit == "min" ? 60000 : 0;
    if (digits == 0 || digits > 7 || factor == 0)
        throw po::validation_error(po::validation_error::invalid_option_value);
    result = Duration{std::chrono::milliseconds(std::stoll(text.substr(0, digits)) * factor)};
}

po::typed_value<Duration> *duration(const char *shown)
{
    const std::string text = shown;
    boost::any parsed;
    validate(parsed, {text}, static_cast<Duration *>(nullptr), 0);
    return po::value<Duration>()->default_value(boost::any_cast<Duration>(parsed), text)->value_name("time");
}

po::typed_value<unsigned> *count(unsigned standard)
{
    return po::value<unsigned>()->default_value(standard)->value_name("n");
}

po::typed_value<std::string> *text(const char *standard, const char *what)
{
    return po::value<std::string>()->default_value(standard)->value_name(what);
}

po::options_description settings()
{
    po::options_description all(
        "Settings, also in a file (pool-size = 8) or the environment (READMODEL_HTTP_POOL_SIZE=8)", 100);
    auto add = all.add_options();
    add("address", text("127.0.0.1", "ip"), "address to listen on; 0.0.0.0 or :: for all");
    add("port", po::value<std::string>()->default_value("8080")->value_name("n"), "port to listen on; 0: any free one");
    add("host", text("", "names"),
        "names by which clients may call it, with commas between them, besides its address and localhost; without a "
        "token "
        "it answers to no other ones, unless it listens elsewhere than on 127.0.0.1 and this is empty");
    add("database", text("", "string"),
        "connection string of libpq, such as \"service=shop\"; PG* and ~/.pgpass count too");
    add("allow-superuser", po::bool_switch(), "serve even if the role is a superuser");
    add("token-file", text("", "file"),
        "ask for the bearer token in this file, for all but /health and the page's own files");
    add("log-format", text("text", "format"), "text, or json: a document a line");
    add("pool-size", count(4), "connections to the database");
    add("batch-size", count(16), "statements that each of them sends at a time");
    add("queue-size", count(2048),
        "statements that wait for their turn, half of them for the states of one query; beyond: 503");
    add("max-connections", count(16000),
        "connections of clients; beyond, the one that has been silent longest is closed; where seven eighths of them "
        "wait for an answer: 503");
    add("max-unsent", count(256),
        "megabytes of answers that clients have not taken; beyond, those that have taken nothing for longest are "
        "closed");
    add("max-waits", count(10000), "requests that wait for a position; beyond: 503");
    add("statement-timeout", duration("5s"), "longest statement");
    add("queue-timeout", duration("2s"), "longest wait of a statement for its turn");
    add("connect-timeout", duration("5s"), "longest attempt to connect to the database");
    add("header-timeout", duration("10s"), "longest time in which a request's header has to arrive");
    add("idle-timeout", duration("75s"), "longest silence of a kept connection");
    add("write-timeout", duration("30s"), "longest time in which a client takes nothing of its response");
    add("drain-timeout", duration("4s"), "longest time for the requests under way after SIGTERM");
    add("default-wait", duration("30s"), "how long min_position waits without timeout=");
    add("max-wait", duration("5min"), "the longest timeout= of min_position");
    return all;
}

po::options_description general()
{
    po::options_description all("Options", 100);
    auto add = all.add_options();
    add("help", "show this");
    add("version", "show the version");
    add("config", po::value<std::string>()->value_name("file"), "read settings from this file");
    return all;
}

// A file of settings. Where in it something is wrong, the library does not tell.
class ConfigFile
{
public:
    ConfigFile(std::string path, const po::options_description &known) : path(std::move(path)), known(known)
    {
        std::ifstream file(this->path);
        if (!file)
            throw BadOption("could not read \"" + this->path + "\"");
        content.assign(std::istreambuf_iterator<char>(file), {});
    }

    void store(po::variables_map &result) const
    {
        try
        {
            store(content, result);
        }
        catch (const po::error &error)
        {
            throw BadOption(place("") + error.what());
        }
    }

    // The first line with which the file sets this option, or cannot be read any more.
    std::string place(const std::string &option) const
    {
        std::istringstream lines(content);
        std::string read, line;
        size_t number = 0;
        for (bool found = false; !found && std::getline(lines, line);)
        {
            number++;
            read += line + '\n';
            try
            {
                po::variables_map given;
                store(read, given);
                found = !given[option].empty() && !given[option].defaulted();
            }
            catch (const po::error &)
            {
                found = true;
            }
        }
        return "\"" + path + "\", line " + std::to_string(number) + ": ";
    }

private:
    void store(const std::string &text, po::variables_map &result) const
    {
        std::istringstream in(text);
        po::store(po::parse_config_file(in, known), result);
    }

    std::string path, content;
    const po::options_description &known;
};

// POOL_SIZE means pool-size.
std::string option_name(std::string_view variable)
{
    std::string name(variable);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return c == '_' ? '-' : static_cast<char>(std::tolower(c)); });
    return name;
}

// READMODEL_HTTP_POOL_SIZE sets pool-size. What is unknown is passed over: an orchestrator defines names with this prefix for
// a service that is called readmodel-http, and its READMODEL_HTTP_PORT=tcp://.. is not meant for us.
void store_environment(const char *const *environment, const po::options_description &known, po::variables_map &result,
                       std::optional<std::string> &token, std::string &config)
{
    po::parsed_options parsed(&known);
    for (; *environment; environment++)
    {
        const std::string_view entry = *environment;
        const size_t equals = std::min(entry.find('='), entry.size());
        if (!entry.starts_with(prefix) || equals == entry.size() || equals <= prefix.size())
            continue;
        const std::string value(entry.substr(equals + 1));
        const std::string name = option_name(entry.substr(prefix.size(), equals - prefix.size()));
        if (name == "token")
            token = value;
        else if (name == "config")
            config = value;
        else if (known.find_nothrow(name, false) && !(name == "port" && value.starts_with("tcp://")))
            parsed.options.emplace_back(name, std::vector<std::string>{value});
    }
    po::store(parsed, result);
}

void store_arguments(const std::vector<std::string> &arguments, const po::options_description &known,
                     po::variables_map &result)
{
    po::options_description all;
    all.add(general()).add(known);
    const po::parsed_options parsed =
        po::command_line_parser(arguments)
            .options(all)
            .style(po::command_line_style::allow_long | po::command_line_style::long_allow_adjacent |
                   po::command_line_style::long_allow_next)
            .run();
    for (const po::option &option : parsed.options)
    {
        if (option.position_key != -1)
            throw BadOption("unknown argument \"" + (option.value.empty() ? "" : option.value.front()) + "\"");
    }
    po::store(parsed, result);
}

std::string read_token(const std::string &path)
{
    std::ifstream file(path);
    std::string token;
    if (!file || !std::getline(file, token))
        throw BadOption("could not read a token from \"" + path + "\"");
    while (!token.empty() && (token.back() == '\r' || token.back() == ' '))
        token.pop_back();
    return token;
}

void check_token(const std::string &token)
{
    const bool sound = !token.empty() && token.size() <= 4096 &&
                       std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > 32 && c < 127; });
    if (!sound)
        throw BadOption("the token is empty, too long, or has other characters than visible ASCII");
}

unsigned short port_number(const std::string &text)
{
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != text.npos ||
        std::stoul(text) > 65535)
        throw BadOption("\"" + text + "\" is not a port", "port");
    return static_cast<unsigned short>(std::stoul(text));
}

unsigned within(const po::variables_map &given, const char *name, unsigned least, unsigned most)
{
    const unsigned value = given[name].as<unsigned>();
    if (value < least || value > most)
        throw BadOption("\"" + std::string(name) + "\" has to be from " + std::to_string(least) + " to " +
                            std::to_string(most),
                        name);
    return value;
}

std::vector<std::string> names_of(const std::string &list)
{
    std::vector<std::string> names(1);
    for (const unsigned char c : list)
    {
        if (c == ',')
            names.emplace_back();
        else if (c != ' ')
            names.back() += static_cast<char>(std::tolower(c));
    }
    std::erase(names, "");
    return names;
}

// What libpq would never connect with, however often one tries: a server that is down is another matter. Without "=" it is a name.
std::string connection_string(const std::string &text)
{
    if (text.find('=') == std::string::npos && !text.starts_with("postgresql://") && !text.starts_with("postgres://"))
        return text;
    char *message = nullptr;
    PQconninfoOption *const parsed = PQconninfoParse(text.c_str(), &message);
    PQconninfoFree(parsed);
    std::string fault = message != nullptr ? message : "";
    PQfreemem(message);
    while (fault.ends_with('\n'))
        fault.pop_back();
    if (parsed == nullptr)
        throw BadOption("\"database\" is no connection string: " + fault, "database");
    return text;
}

void take(const po::variables_map &given, Options &options)
{
    options.address = given["address"].as<std::string>();
    boost::system::error_code no_address;
    boost::asio::ip::make_address(options.address, no_address);
    if (no_address)
        throw BadOption("\"" + options.address + "\" is no IP address, as \"address\" has to be", "address");
    options.port = port_number(given["port"].as<std::string>());
    options.hosts = names_of(given["host"].as<std::string>());
    options.database = connection_string(given["database"].as<std::string>());
    options.allow_superuser = given["allow-superuser"].as<bool>();
    const std::string &format = given["log-format"].as<std::string>();
    if (format != "text" && format != "json")
        throw BadOption("\"" + format + "\" is not a format of the log: text, json", "log-format");
    options.log_format = format == "json" ? log::Format::json : log::Format::text;
    options.pool_size = within(given, "pool-size", 1, 1000);
    options.batch_size = within(given, "batch-size", 1, 1000);
    options.queue_size = within(given, "queue-size", 1, 1000000);
    options.max_connections = within(given, "max-connections", 1, 1000000);
    options.max_unsent = std::uint64_t{within(given, "max-unsent", 1, 1000000)} * 1000000;
    options.max_waits = within(given, "max-waits", 0, 1000000);
    const auto time = [&](const char *name)
    {
        const auto value = given[name].as<Duration>().value;
        if (value.count() <= 0)
            throw BadOption("\"" + std::string(name) + "\" has to be above zero", name);
        return value;
    };
    options.statement_timeout = time("statement-timeout");
    if (options.statement_timeout.count() > INT_MAX)
        throw BadOption("\"statement-timeout\" has to be less than 25 days", "statement-timeout");
    options.queue_timeout = time("queue-timeout");
    options.connect_timeout = time("connect-timeout");
    options.header_timeout = time("header-timeout");
    options.idle_timeout = time("idle-timeout");
    options.write_timeout = time("write-timeout");
    options.drain_timeout = time("drain-timeout");
    options.default_wait = time("default-wait");
    options.max_wait = time("max-wait");
    options.token_file = given["token-file"].as<std::string>();
}

} // namespace

std::vector<std::string> unknown_variables(const char *const *environment)
{
    const po::options_description known = settings();
    std::vector<std::string> unknown;
    for (; *environment; environment++)
    {
        const std::string_view entry = *environment;
        const std::string_view variable = entry.substr(0, std::min(entry.find('='), entry.size()));
        if (!variable.starts_with(prefix))
            continue;
        const std::string name = option_name(variable.substr(prefix.size()));
        if (name != "token" && name != "config" && !name.starts_with("service-") && !name.starts_with("port-") &&
            !known.find_nothrow(name, false))
            unknown.emplace_back(variable);
    }
    return unknown;
}

std::string token_of_file(const std::string &path)
{
    std::string token = read_token(path);
    check_token(token);
    return token;
}

Wish read_options(const std::vector<std::string> &arguments, const char *const *environment, Options &options)
{
    const po::options_description known = settings();
    po::variables_map given;
    std::optional<std::string> token;
    std::string config;
    // What is stored first counts.
    try
    {
        store_arguments(arguments, known, given);
        if (given.count("help"))
            return Wish::help;
        if (given.count("version"))
            return Wish::version;
        store_environment(environment, known, given, token, config);
    }
    catch (const po::error &error)
    {
        throw BadOption(error.what());
    }
    if (given.count("config"))
        config = given["config"].as<std::string>();
    if (config.empty())
        take(given, options);
    else
    {
        const po::variables_map before = given;
        const ConfigFile file(config, known);
        file.store(given);
        try
        {
            take(given, options);
        }
        catch (const BadOption &error)
        {
            if (!before[error.option].defaulted())
                throw;
            throw BadOption(file.place(error.option) + error.what());
        }
    }
    if (!options.token_file.empty())
        token = token_of_file(options.token_file);
    if (token)
    {
        // An empty one is refused too: whoever set it did not want to be without.
        check_token(*token);
        options.token = *token;
    }
    return Wish::serve;
}

void print_help(std::ostream &out)
{
    out << "readmodel-http: answers HTTP requests about the read models of pg_readmodel.\n\n"
           "Usage: readmodel-http [OPTION]..\n\n"
        << general() << '\n'
        << settings()
        << "\nA time has a unit (ms, s, min) or is in seconds. The token may also be in READMODEL_HTTP_TOKEN; it has "
           "no option,\n"
           "since anybody can see a process's arguments. The command line counts before the environment, and that "
           "before the\n"
           "file, which is the one of --config.\n";
}

} // namespace http
