// By what names a service answers that asks for no token.
#include "http/host.hpp"

#include <gtest/gtest.h>

using http::is_own_host;

TEST(HttpHost, AddressesAndLocalhost)
{
    for (const char *host : {"127.0.0.1", "127.0.0.1:8080", "10.1.2.3:80", "[::1]", "[::1]:8080", "localhost",
                             "localhost:1", "LOCALHOST", "localhost.", "app.localhost:8080"})
        EXPECT_TRUE(is_own_host(host, {})) << host;
}

TEST(HttpHost, NoNameThatAPageCanHave)
{
    for (const char *host : {"", "x", "attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example",
                             "127.0.0.1:80.attacker.example", "[::1].attacker.example", "[::1", "notlocalhost",
                             "localhost:x", "127.0.0.1@attacker.example", "a:b:c", "::1", "a/.localhost"})
        EXPECT_FALSE(is_own_host(host, {})) << host;
    using namespace std::string_view_literals;
    EXPECT_FALSE(is_own_host("127.0.0.1\0.attacker.example"sv, {}));
}

TEST(HttpHost, NamesThatItWasTold)
{
    const std::vector<std::string> names = {"readmodel", "shop.example"};
    for (const char *host : {"readmodel", "readmodel:8080", "Shop.Example", "shop.example.:80", "localhost"})
        EXPECT_TRUE(is_own_host(host, names)) << host;
    for (const char *host : {"example", "x.shop.example", "readmodel.attacker.example"})
        EXPECT_FALSE(is_own_host(host, names)) << host;
}
