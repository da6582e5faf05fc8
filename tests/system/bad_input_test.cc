// What an operator gets wrong is answered by one line that says what and what to do, and exit code 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>

#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using ::testing::HasSubstr;

// Starts `service` with the gateway's files in a second process that must end by itself; its last line of output.
std::string LastWords(Gateway& gateway, std::string_view service, const std::string& config_path) {
  Process process({BinDir() + "/holdfast-" + std::string(service), "--config", config_path},
                  gateway.dir() + "/second.log");
  process.Start();
  EXPECT_TRUE(process.WaitForExit(absl::Seconds(30))) << service << " should have refused to start";
  EXPECT_EQ(process.exit_code(), 1);
  std::string log = process.Log();
  while (log.ends_with('\n')) log.pop_back();
  return log.substr(log.rfind('\n') + 1);
}

TEST(BadInputTest, UnknownConfigKeyIsNamedWithFileAndLine) {
  for (const std::string_view service : Gateway::kServices) {
    Gateway gateway({.config = {{std::string(service) + ".colour", "\"blue\""}}});
    const std::string line = LastWords(gateway, service, gateway.config_path());
    EXPECT_THAT(line, HasSubstr("holdfast.toml:"));
    EXPECT_THAT(line, HasSubstr("colour"));
    EXPECT_THAT(line, HasSubstr("known"));
  }
}

TEST(BadInputTest, PortInUseIsNamed) {
  Gateway gateway({});
  UniqueFd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(gateway.mqtt_port()));
  ASSERT_EQ(::bind(holder.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(holder.get(), 1), 0);
  ASSERT_TRUE(gateway.Start("store"));
  ASSERT_TRUE(gateway.Start("auth"));
  EXPECT_THAT(LastWords(gateway, "router", gateway.config_path()), HasSubstr(std::to_string(gateway.mqtt_port())));
}

TEST(BadInputTest, SecondProcessOnTheSameSocketIsRefused) {
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  // The store finds its data directory locked before it comes to its socket.
  for (const std::string_view service : {"auth", "router", "uplink"}) {
    EXPECT_THAT(LastWords(gateway, service, gateway.config_path()), HasSubstr("in use")) << service;
    EXPECT_TRUE(gateway.Serving(service)) << "the first one must go on";
  }
}

TEST(BadInputTest, SecondStoreOnTheSameDataDirectoryIsRefused) {
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start("store"));
  EXPECT_THAT(LastWords(gateway, "store", gateway.config_path()), HasSubstr(gateway.data_dir()));
  // The same with a socket of its own.
  const std::string other = gateway.dir() + "/other.toml";
  std::string config = ReadFile(gateway.config_path());
  const size_t at = config.find(gateway.run_dir());
  ASSERT_NE(at, std::string::npos);
  config.replace(at, gateway.run_dir().size(), gateway.dir() + "/run2");
  WriteFile(other, config);
  EXPECT_THAT(LastWords(gateway, "store", other), HasSubstr(gateway.data_dir()));
  EXPECT_TRUE(gateway.Serving("store")) << "the first one must go on";
}

// What can heal does not end the process: the line is in the log, and the corrected file counts at once.
TEST(BadInputTest, IdentitiesFileWithAMistakeIsNamedWithItsLineAndTheCorrectedOneIsTaken) {
  Gateway gateway({});
  const std::string good = ReadFile(gateway.identities_path());
  WriteFile(gateway.identities_path(), "[[identity]]\ndevice_id = \"dev1\"\nprimary_kex = \"x\"\n");
  for (const std::string_view service : Gateway::kServices) gateway.Launch(service);
  EXPECT_TRUE(
      WaitFor(kPatience, [&] { return gateway.process("auth").Log().find("identities.toml:") != std::string::npos; }));
  EXPECT_THAT(gateway.process("auth").Log(), HasSubstr("primary_kex"));
  WriteFile(gateway.identities_path(), good);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return gateway.LoggedIn("dev1").open(); }));
}

}  // namespace
}  // namespace holdfast::systest
