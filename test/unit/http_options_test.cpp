// Where a setting comes from, and what is no setting.
#include "http/options.hpp"

#include <fstream>

#include <gtest/gtest.h>

using namespace http;

namespace
{

Options read(const std::vector<std::string> &arguments, std::vector<const char *> environment = {})
{
    environment.push_back(nullptr);
    Options options;
    EXPECT_EQ(read_options(arguments, environment.data(), options), Wish::serve);
    return options;
}

struct TemporaryFile
{
    explicit TemporaryFile(const std::string &content) : path(testing::TempDir() + "/http_options_test")
    {
        std::ofstream(path) << content;
    }
    ~TemporaryFile() { std::remove(path.c_str()); }
    std::string path;
};

} // namespace

TEST(HttpOptions, OnlyThisMachineUnlessTold)
{
    const Options options = read({});
    EXPECT_EQ(options.address, "127.0.0.1");
    EXPECT_EQ(options.token, "");
    EXPECT_FALSE(options.allow_superuser);
}

TEST(HttpOptions, CommandLineThenEnvironmentThenFile)
{
    const TemporaryFile file("pool-size = 1\nqueue-size = 1\nbatch-size = 1\nallow-superuser = yes\n");
    const Options options = read({"--config", file.path, "--pool-size", "3"},
                                 {"READMODEL_HTTP_POOL_SIZE=2", "READMODEL_HTTP_QUEUE_SIZE=2", "POOL_SIZE=9"});
    EXPECT_EQ(options.pool_size, 3u);
    EXPECT_EQ(options.queue_size, 2u);
    EXPECT_EQ(options.batch_size, 1u);
    EXPECT_TRUE(options.allow_superuser);
    const std::string config = "READMODEL_HTTP_CONFIG=" + file.path;
    EXPECT_EQ(read({}, {config.c_str()}).pool_size, 1u);
}

TEST(HttpOptions, AFaultInAFileHasItsLine)
{
    const auto fault = [](const std::string &content, std::vector<std::string> arguments = {})
    {
        const TemporaryFile file(content);
        arguments.push_back("--config=" + file.path);
        try
        {
            read(arguments);
        }
        catch (const BadOption &error)
        {
            const std::string text = error.what(), place = "\"" + file.path + "\", line ";
            return text.starts_with(place) ? text.substr(place.size()) : text;
        }
        return std::string("none");
    };
    EXPECT_EQ(fault("pool-size = 1\n"), "none");
    for (const char *wrong :
         {"pool = 1", "pool-size = x", "pool-size", "idle-timeout = 7 h", "port = 70000", "pool-size = 0",
          "max-wait = 0", "address = nowhere", "log-format = xml", "batch-size = 2", "[pool]\nsize = 1"})
        EXPECT_EQ(fault("# one\nbatch-size = 1\n\n" + std::string(wrong) + "\nqueue-size = 1\n").substr(0, 2),
                  wrong[0] == '[' ? "5:" : "4:")
            << wrong;
    EXPECT_EQ(fault("\npool-size = 0\n"), "2: \"pool-size\" has to be from 1 to 1000");
    EXPECT_EQ(fault("pool-size = 0\n", {"--pool-size=1001"}), "\"pool-size\" has to be from 1 to 1000");
    EXPECT_EQ(fault("pool-size = 1\n", {"--queue-size=0"}), "\"queue-size\" has to be from 1 to 1000000");
    EXPECT_EQ(fault("pool-size = 0\n", {"--pool-size=1"}), "none");
}

TEST(HttpOptions, WhatIsUnknownIsNamed)
{
    const auto fault = [](const std::vector<std::string> &arguments)
    {
        try
        {
            read(arguments);
        }
        catch (const BadOption &error)
        {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(fault({"-h"}), "unknown argument \"-h\"");
    EXPECT_EQ(fault({"--port", "0", "more"}), "unknown argument \"more\"");
    EXPECT_EQ(fault({"--address", "localhost"}), "\"localhost\" is no IP address, as \"address\" has to be");
    const char *const environment[] = {"READMODEL_HTTP_POOLSIZE=3",    "READMODEL_HTTP_POOL_SIZE=3", "PATH=/bin",
                                       "READMODEL_HTTP_SERVICE_HOST=", "READMODEL_HTTP_TOKEN=x",     nullptr};
    EXPECT_EQ(unknown_variables(environment), std::vector<std::string>{"READMODEL_HTTP_POOLSIZE"});
}

TEST(HttpOptions, Times)
{
    using std::chrono::milliseconds;
    EXPECT_EQ(read({"--idle-timeout=250ms"}).idle_timeout, milliseconds(250));
    EXPECT_EQ(read({"--idle-timeout=3"}).idle_timeout, milliseconds(3000));
    EXPECT_EQ(read({"--idle-timeout=3s"}).idle_timeout, milliseconds(3000));
    EXPECT_EQ(read({"--idle-timeout=2min"}).idle_timeout, milliseconds(120000));
    for (const char *wrong : {"", "s", "-1s", "1h", "1.5s", "0", "99999999s"})
        EXPECT_THROW(read({std::string("--idle-timeout=") + wrong}), BadOption) << wrong;
}

TEST(HttpOptions, WhatIsNoSettingIsRefused)
{
    for (const char *wrong :
         {"--nonsense", "word", "--port=65536", "--port=-1", "--port=x", "--pool-size=0", "--pool-size=-1",
          "--pool-size=x", "--log-format=xml", "--config=/nonexistent", "--token-file=/nonexistent", "--pool=3", "-p"})
        EXPECT_THROW(read({wrong}), BadOption) << wrong;
    EXPECT_THROW(read({"--port=1", "--port=2"}), BadOption);
    EXPECT_THROW(read({}, {"READMODEL_HTTP_POOL_SIZE=x"}), BadOption);
    const TemporaryFile file("nonsense = 1\n");
    EXPECT_THROW(read({"--config=" + file.path}), BadOption);
}

TEST(HttpOptions, AConnectionStringThatNoServerCouldAnswerIsRefused)
{
    for (const char *wrong : {"hots=localhost", "host='x", "dbname=a b", "postgresql://[::1", "postgres://h/d?nope=1"})
        EXPECT_THROW(read({std::string("--database=") + wrong}), BadOption) << wrong;
    for (const char *right : {"shop", "service=shop", "host=h dbname='a b'", "postgresql://u@h:1/d?sslmode=disable"})
        EXPECT_EQ(read({std::string("--database=") + right}).database, right);
    const TemporaryFile file("\ndatabase = hots=localhost\n");
    try
    {
        read({"--config=" + file.path});
        ADD_FAILURE();
    }
    catch (const BadOption &error)
    {
        EXPECT_EQ(std::string(error.what()), "\"" + file.path +
                                                 "\", line 2: \"database\" is no connection string: invalid "
                                                 "connection option \"hots\"");
    }
}

TEST(HttpOptions, WhatAnOrchestratorDefinesForAServiceOfThisName)
{
    const Options options = read({}, {"READMODEL_HTTP_PORT=tcp://10.0.0.1:80", "READMODEL_HTTP_SERVICE_HOST=10.0.0.1",
                                      "READMODEL_HTTP_PORT_80_TCP=tcp://10.0.0.1:80"});
    EXPECT_EQ(options.port, 8080);
    EXPECT_EQ(read({}, {"READMODEL_HTTP_PORT=81"}).port, 81);
}

TEST(HttpOptions, Tokens)
{
    EXPECT_EQ(read({}, {"READMODEL_HTTP_TOKEN=abc"}).token, "abc");
    EXPECT_THROW(read({}, {"READMODEL_HTTP_TOKEN="}), BadOption) << "empty is not the same as none";
    EXPECT_THROW(read({}, {"READMODEL_HTTP_TOKEN=a b"}), BadOption);
    const TemporaryFile file("secret\r\nmore\n");
    EXPECT_EQ(read({"--token-file", file.path}, {"READMODEL_HTTP_TOKEN=abc"}).token, "secret");
    const TemporaryFile empty("\n");
    EXPECT_THROW(read({"--token-file", empty.path}), BadOption);
}

TEST(HttpOptions, HelpAndVersion)
{
    const char *const none[] = {nullptr};
    Options options;
    EXPECT_EQ(read_options({"--help"}, none, options), Wish::help);
    EXPECT_EQ(read_options({"--version"}, none, options), Wish::version);
}
