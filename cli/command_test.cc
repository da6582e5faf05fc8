// `holdfast` as a shell sees it when no gateway runs: what it says, and its exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/rpc/server.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Outcome {
  int exit_code = -1;
  std::string output;  // stdout, then stderr where the command line says so
};

Outcome Shell(const std::string& arguments) {
  const std::string command = "env -u HOLDFAST_RUN_DIR " + std::string(HOLDFAST_BINARY) + " " + arguments;
  FILE* pipe = ::popen(command.c_str(), "r");
  Outcome outcome;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.output.append(buffer, got);
  const int status = ::pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

TEST(CommandTest, HelpAndVersionSucceed) {
  const Outcome help = Shell("--help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, HasSubstr("Examples:"));
  EXPECT_THAT(Shell("queues peek --help").output, HasSubstr("--limit"));
  EXPECT_THAT(Shell("--version").output, StartsWith("holdfast "));
}

TEST(CommandTest, WhatIsNotUnderstoodIsExitCode2) {
  EXPECT_EQ(Shell("nonsense 2>&1").exit_code, 2);
  EXPECT_EQ(Shell("2>&1").exit_code, 2);
  EXPECT_EQ(Shell("health nobody 2>&1").exit_code, 2);
  EXPECT_EQ(Shell("dev 2>&1").exit_code, 2);
}

TEST(CommandTest, ServiceThatIsDownIsNamedWithItsSocketAndWhatToDo) {
  const TempDir dir;
  const Outcome outcome = Shell("--run-dir " + dir.path() + " queues 2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              HasSubstr("store is not running here: its socket should be " + dir.path() + "/store/0.sock"));
  EXPECT_THAT(outcome.output, HasSubstr("Start holdfast-store"));
}

TEST(CommandTest, ErrorsAreJsonToo) {
  const TempDir dir;
  const Outcome outcome = Shell("--json --run-dir " + dir.path() + " identities");
  EXPECT_EQ(outcome.exit_code, 1);
  const auto json = nlohmann::json::parse(outcome.output, nullptr, false);
  ASSERT_TRUE(json.is_object()) << outcome.output;
  EXPECT_EQ(json.at("error").at("code"), "UNAVAILABLE");
}

TEST(CommandTest, StatusShowsWhatIsDownAndFails) {
  const TempDir dir;
  const Outcome outcome = Shell("--json --run-dir " + dir.path() + " status");
  EXPECT_EQ(outcome.exit_code, 1);
  const auto json = nlohmann::json::parse(outcome.output, nullptr, false);
  ASSERT_TRUE(json.is_object()) << outcome.output;
  EXPECT_EQ(json.at("healthy"), false);
  ASSERT_EQ(json.at("services").size(), 4u);
  EXPECT_EQ(json.at("services")[0].at("health"), "down");
}

TEST(CommandTest, WrongConfigKeyIsShownWithItsLine) {
  const TempDir dir;
  std::ofstream(dir / "holdfast.toml") << "[gateway]\nhostnam = \"x\"\n";
  const Outcome outcome = Shell("--config " + (dir / "holdfast.toml") + " status 2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("holdfast.toml:2: [gateway] hostnam is not a known key"));
}

TEST(CommandTest, CertsInitTwiceKeepsWhatIsThere) {
  const TempDir dir;
  const std::string option = " certs init --dir " + (dir / "ca");
  const auto first = nlohmann::json::parse(Shell("--json" + option).output, nullptr, false);
  ASSERT_TRUE(first.is_object());
  EXPECT_EQ(first.at("made").size(), 4u);
  const auto second = nlohmann::json::parse(Shell("--json" + option).output, nullptr, false);
  ASSERT_TRUE(second.is_object());
  EXPECT_EQ(second.at("made").size(), 0u);
  EXPECT_EQ(second.at("kept").size(), 4u);
  const Outcome shown = Shell("certs show --dir " + (dir / "ca"));
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_THAT(shown.output, HasSubstr("device_ca.pem"));
}

// A store that reopens its database after a failed write is up, and does not do its work.
TEST(CommandTest, HealthIsThatOfTheWorkUnlessAskedForTheProcess) {
  const TempDir dir;
  store::v1::Queues::Service queues;
  const auto server = rpc::Server::Create({.run_dir = dir.path(), .service = "store"}, {&queues});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string health = "--run-dir " + dir.path() + " health store ";
  (*server)->SetServing(true);
  EXPECT_EQ(Shell(health).exit_code, 0);
  (*server)->SetServing("holdfast.store.v1.Queues", false);
  const Outcome outcome = Shell(health + "2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("can't do its work"));
  EXPECT_EQ(Shell(health + "--grpc-service ''").exit_code, 0);
}

// What bash offers for the last of `words`, as it would for somebody at a terminal.
std::string Offered(const std::string& words) {
  const std::string script = "source <(" + std::string(HOLDFAST_BINARY) + " completion bash); COMP_WORDS=(holdfast " +
                             words + "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _holdfast; echo \"${COMPREPLY[*]}\"";
  FILE* pipe = ::popen(("bash --norc -c '" + script + "'").c_str(), "r");
  char buffer[4096];
  const size_t got = std::fread(buffer, 1, sizeof buffer, pipe);
  ::pclose(pipe);
  return std::string(buffer, got);
}

TEST(CommandTest, BashCompletesCommandsAndTheirOptions) {
  EXPECT_EQ(Offered("sta"), "status\n");
  EXPECT_EQ(Offered("queues p"), "peek purge\n");
  EXPECT_EQ(Offered("link o"), "offline online\n");
  EXPECT_EQ(Offered("link offline --f"), "--for\n");
  EXPECT_EQ(Offered("queues export --f"), "--from\n");
  EXPECT_EQ(Offered("--json queues peek --l"), "--limit\n");
  EXPECT_EQ(Offered("queues --run-d"), "--run-dir\n") << "options of all";
  EXPECT_EQ(Offered("--run-dir queues sup"), "support-bundle\n") << "a value is no command";
  EXPECT_EQ(Offered("--config /et"), "\n") << "left to bash, which knows files";
  EXPECT_EQ(Offered("nonsense"), "\n");
}

TEST(CommandTest, LinkSaysWhatItDoesNotUnderstand) {
  const TempDir dir;
  const Outcome outcome = Shell("--run-dir " + dir.path() + " link offline --for soon 2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("--for soon is no time: write 90s, 30m, 1h30m, or ever"));
  EXPECT_EQ(Shell("link away 2>&1").exit_code, 2);
}

// Ends though nothing is there to be watched.
TEST(CommandTest, WatchOfAGatewayThatIsDownShowsThatAndEnds) {
  const TempDir dir;
  const Outcome outcome =
      Shell("--json --run-dir " + dir.path() + " status --watch --interval 0.2 | head -n 2 | wc -l");
  EXPECT_EQ(outcome.output, "2\n") << "one document a line, and an end when nobody reads any more";
}

TEST(CommandTest, ManualPageHasEveryCommand) {
  const Outcome outcome = Shell("man");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, StartsWith(".Dd "));
  for (const char* command : {"status", "link offline", "queues import", "twin get", "completion bash"}) {
    EXPECT_THAT(outcome.output, HasSubstr(std::string(".Ss holdfast ") + command + "\n"));
  }
}

TEST(CommandTest, PurgeAsksForYes) {
  const Outcome outcome = Shell("queues purge upstream 2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("--yes"));
}

}  // namespace
}  // namespace holdfast::cli
