#include "cli/web/host_names.h"

#include <gtest/gtest.h>

namespace holdfast::web {
namespace {

TEST(ListenAddressTest, IsAnAddressAndAPort) {
  EXPECT_EQ(ParseListenAddress("127.0.0.1:8480")->port(), 8480);
  EXPECT_TRUE(ParseListenAddress("localhost:0")->address().is_loopback());
  EXPECT_TRUE(ParseListenAddress("[::1]:8480")->address().is_loopback());
  EXPECT_FALSE(ParseListenAddress("[::]:8480")->address().is_loopback());
  EXPECT_FALSE(ParseListenAddress("0.0.0.0:8480")->address().is_loopback());
}

TEST(ListenAddressTest, AnythingElseIsRefused) {
  for (const char* text : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999", ":8480", "::1:8480x",
                           "gateway.example:8480", "[::1:8480", "[::1]8480", "127.0.0.1:8480 "}) {
    EXPECT_EQ(ParseListenAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(HostNamesTest, OwnNamesAndAddressesPass) {
  const std::vector<std::string> names = {"gateway.example"};
  for (const char* host : {"localhost", "LOCALHOST:9000", "127.0.0.1:8480", "192.0.2.7", "[::1]:8480", "[::1]",
                           "gateway.example", "Gateway.Example:8480"}) {
    EXPECT_TRUE(IsOwnHost(host, names)) << host;
  }
}

TEST(HostNamesTest, StrangersDoNot) {
  const std::vector<std::string> names = {"gateway.example"};
  for (const char* host :
       {"", ":8480", "rebind.attacker.example", "rebind.attacker.example:8480", "gateway.example.attacker.example",
        "xgateway.example", "127.0.0.1.attacker.example", "localhost.attacker.example", "[::1", "[rebind]:8480"}) {
    EXPECT_FALSE(IsOwnHost(host, names)) << host;
  }
}

}  // namespace
}  // namespace holdfast::web
