// `holdfast dev` with fake services: the folder that it makes, and how it looks after the processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/time/clock.h"
#include "cli/child_process.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(30);

bool Eventually(const std::function<bool()>& condition) {
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end; absl::SleepFor(absl::Milliseconds(10))) {
    if (condition()) return true;
  }
  return condition();
}

bool Runs(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// A folder with `holdfast` and four fakes in it, and runs of `holdfast dev` from there.
class DevTest : public ::testing::Test {
 protected:
  DevTest() {
    std::filesystem::create_directory(bin_ / "bin");
    std::filesystem::copy_file(HOLDFAST_BINARY, bin_ / "bin/holdfast");
    for (const char* service : {"store", "auth", "router", "uplink"}) {
      std::filesystem::create_symlink(FAKE_SERVICE_BINARY, bin_ / ("bin/holdfast-" + std::string(service)));
    }
  }

  std::string dir() const { return work_ / "gw"; }
  std::string stdout_path() const { return work_ / "stdout"; }
  std::string stderr_path() const { return work_ / "stderr"; }

  // Output of the run goes to files: its pipe would have to be read.
  std::unique_ptr<ChildProcess> Start(const std::string& options, std::vector<std::string> environment = {}) {
    const std::string command = "exec " + (bin_ / "bin/holdfast") + " dev --dir " + dir() + " " + options + " >" +
                                stdout_path() + " 2>" + stderr_path();
    auto child = ChildProcess::Start({"dev", {"/bin/sh", "-c", command}, std::move(environment)});
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? *std::move(child) : nullptr;
  }

  nlohmann::json WaitForJson() {
    Eventually([this] { return ReadAll(stdout_path()).ends_with('\n'); });
    return nlohmann::json::parse(ReadAll(stdout_path()), nullptr, false);
  }

  int WaitForEnd(ChildProcess& child) {
    EXPECT_TRUE(Eventually([&] { return child.HasEnded(); }));
    return WIFEXITED(child.wait_status()) ? WEXITSTATUS(child.wait_status()) : -1;
  }

  std::string Stderr() const { return ReadAll(stderr_path()); }
  pid_t PidNow(const std::string& service) const {
    return nlohmann::json::parse(ReadAll(dir() + "/dev.json")).at("pids").at(service).get<pid_t>();
  }

  TempDir bin_;
  TempDir work_;
};

TEST_F(DevTest, JsonIsOneLineWithWhatAClientNeeds) {
  auto dev = Start("--json --devices 3 --upstream mqtt://localhost:1883");
  const nlohmann::json json = WaitForJson();
  ASSERT_TRUE(json.is_object()) << Stderr();
  const std::string text = ReadAll(stdout_path());
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  EXPECT_TRUE(std::filesystem::exists(json.at("ca_file").get<std::string>()));
  EXPECT_TRUE(std::filesystem::exists(json.at("run_dir").get<std::string>() + "/uplink/0.sock"));
  EXPECT_NE(json.at("mqtt_port").get<int>(), json.at("mqtts_port").get<int>());
  EXPECT_EQ(json.at("hub_hostname"), "holdfast.local");
  ASSERT_EQ(json.at("devices").size(), 3u);
  const auto& device = json.at("devices")[2];
  EXPECT_EQ(device.at("connection_string"), "HostName=holdfast.local;DeviceId=dev3;SharedAccessKey=" +
                                                device.at("key").get<std::string>() + ";GatewayHostName=localhost");
  dev->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*dev), 0);
  for (const auto& [service, pid] : json.at("pids").items()) EXPECT_FALSE(Runs(pid.get<pid_t>())) << service;
}

TEST_F(DevTest, ModulesHaveTheirEnvironmentAndKeepIt) {
  auto first = Start("--json --modules 2 --hostname gw.example");
  const nlohmann::json before = WaitForJson();
  ASSERT_TRUE(before.is_object()) << Stderr();
  ASSERT_EQ(before.at("modules").size(), 2u);
  const auto& module = before.at("modules")[1];
  EXPECT_EQ(module.at("id"), "mod2");
  const auto& environment = module.at("environment");
  EXPECT_EQ(environment.at("IOTEDGE_WORKLOADURI"),
            "unix://" + before.at("run_dir").get<std::string>() + "/workload/mod2/workload.sock");
  EXPECT_EQ(environment.at("IOTEDGE_GATEWAYHOSTNAME"), "gw.example");
  EXPECT_EQ(environment.at("IOTEDGE_IOTHUBHOSTNAME"), "holdfast.local");
  EXPECT_EQ(environment.at("IOTEDGE_DEVICEID"), module.at("device_id"));
  EXPECT_EQ(environment.at("IOTEDGE_MODULEID"), "mod2");
  EXPECT_EQ(environment.at("IOTEDGE_AUTHSCHEME"), "sasToken");
  EXPECT_FALSE(environment.at("IOTEDGE_MODULEGENERATIONID").get<std::string>().empty());
  EXPECT_EQ(before.at("devices").size(), 1u) << "modules are no devices";
  EXPECT_THAT(ReadAll(dir() + "/identities.toml"), HasSubstr("module_id = \"mod2\"\nprimary_key = "));
  first->Signal(SIGTERM);
  ASSERT_EQ(WaitForEnd(*first), 0);
  std::filesystem::remove(stdout_path());
  auto second = Start("--json --hostname gw.example");
  EXPECT_EQ(WaitForJson().at("modules"), before.at("modules"));
  second->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*second), 0);
}

TEST_F(DevTest, EncryptionOnceOnStaysOn) {
  const std::string key_file = dir() + "/data/secrets/store.key";
  const auto is_told = [&] {
    const std::string environment = ReadAll("/proc/" + std::to_string(PidNow("store")) + "/environ");
    return environment.find("HOLDFAST_STORE_ENCRYPTION_KEY_FILE=" + key_file) != std::string::npos;
  };
  for (const char* options : {"", "--encrypt", ""}) {
    std::filesystem::remove(stdout_path());
    auto dev = Start(std::string("--json ") + options);
    ASSERT_TRUE(WaitForJson().is_object()) << Stderr();
    const bool asked = *options != '\0';
    EXPECT_EQ(is_told(), asked || std::filesystem::exists(key_file));
    if (asked) std::ofstream(key_file) << "as a real store makes it";
    dev->Signal(SIGTERM);
    ASSERT_EQ(WaitForEnd(*dev), 0);
  }
  EXPECT_TRUE(std::filesystem::exists(key_file)) << "the last start had it without being asked";
}

TEST_F(DevTest, StopsInReverseOrderAndPrefixesLogs) {
  auto dev = Start("--json");
  ASSERT_TRUE(WaitForJson().is_object()) << Stderr();
  dev->Signal(SIGINT);
  EXPECT_EQ(WaitForEnd(*dev), 0);
  std::vector<std::string> order;
  std::istringstream lines(Stderr());
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with(" stops")) order.push_back(line);
  }
  EXPECT_THAT(order, ElementsAre("uplink | uplink stops", "router | router stops", "auth   | auth stops",
                                 "store  | store stops"));
}

TEST_F(DevTest, SecondStartHasTheSamePortsKeysAndCertificates) {
  auto first = Start("--json --devices 1");
  const nlohmann::json before = WaitForJson();
  const std::string ca = ReadAll(before.at("ca_file").get<std::string>());
  first->Signal(SIGTERM);
  ASSERT_EQ(WaitForEnd(*first), 0);
  std::filesystem::remove(stdout_path());
  auto second = Start("--json --devices 2");
  const nlohmann::json after = WaitForJson();
  ASSERT_TRUE(after.is_object()) << Stderr();
  EXPECT_EQ(after.at("mqtt_port"), before.at("mqtt_port"));
  EXPECT_EQ(after.at("mqtts_port"), before.at("mqtts_port"));
  ASSERT_EQ(after.at("devices").size(), 2u);
  EXPECT_EQ(after.at("devices")[0], before.at("devices")[0]);
  EXPECT_EQ(ReadAll(after.at("ca_file").get<std::string>()), ca);
  second->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*second), 0);
}

TEST_F(DevTest, GivenPortsAreUsed) {
  auto dev = Start("--json --mqtt-port 21883 --mqtts-port 28883 --hostname gw.example");
  const nlohmann::json json = WaitForJson();
  ASSERT_TRUE(json.is_object()) << Stderr();
  EXPECT_EQ(json.at("mqtt_port"), 21883);
  EXPECT_EQ(json.at("mqtts_port"), 28883);
  EXPECT_THAT(json.at("devices")[0].at("connection_string").get<std::string>(),
              HasSubstr(";GatewayHostName=gw.example"));
  dev->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*dev), 0);
}

TEST_F(DevTest, RestartsAProcessThatDies) {
  auto dev = Start("--json");
  const pid_t old = WaitForJson().at("pids").at("store").get<pid_t>();
  ::kill(old, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return PidNow("store") != old; })) << Stderr();
  EXPECT_THAT(Stderr(), HasSubstr("store ended with signal 9 (Killed); restarting it at once"));
  const pid_t second = PidNow("store");
  ::kill(second, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return PidNow("store") != second; })) << Stderr();
  dev->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*dev), 0);
  EXPECT_FALSE(Runs(PidNow("store")));
}

TEST_F(DevTest, SecondDevInTheSameFolderIsRefused) {
  auto dev = Start("--json");
  ASSERT_TRUE(WaitForJson().is_object());
  auto second = ChildProcess::Start({"second", {bin_ / "bin/holdfast", "--json", "dev", "--dir", dir()}, {}});
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(WaitForEnd(**second), 1);
  char buffer[4096] = {};
  EXPECT_GT(::read((*second)->output(), buffer, sizeof buffer - 1), 0);
  EXPECT_THAT(buffer, HasSubstr("another `holdfast dev` (pid " + std::to_string(dev->pid())));
  dev->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*dev), 0);
}

TEST_F(DevTest, KilledItselfItLeavesNoProcess) {
  auto dev = Start("--json");
  const nlohmann::json pids = WaitForJson().at("pids");
  dev->Signal(SIGKILL);
  for (const auto& [service, pid] : pids.items()) {
    EXPECT_TRUE(Eventually([p = pid.get<pid_t>()] { return !Runs(p); })) << service;
  }
}

TEST_F(DevTest, AServiceThatCantStartIsReportedWithItsOwnWords) {
  auto dev = Start("", {"FAKE_FAIL=router"});
  EXPECT_EQ(WaitForEnd(*dev), 1);
  EXPECT_THAT(Stderr(),
              HasSubstr("holdfast: router ended with exit code 1 while it started: router can't start: told so"));
  EXPECT_THAT(Stderr(), HasSubstr("auth   | auth stops"));
  EXPECT_EQ(ReadAll(stdout_path()), "");
}

TEST_F(DevTest, CtrlCInTheMiddleOfTheStartStopsWhatRuns) {
  auto dev = Start("", {"FAKE_UNREADY=router"});
  ASSERT_TRUE(Eventually([&] { return Stderr().find("router is up") != std::string::npos; })) << Stderr();
  const pid_t store = PidNow("store");
  dev->Signal(SIGINT);
  EXPECT_EQ(WaitForEnd(*dev), 0);
  EXPECT_FALSE(Runs(store));
  EXPECT_THAT(Stderr(), HasSubstr("store  | store stops"));
}

TEST_F(DevTest, SecondCtrlCKillsWhoDoesNotStop) {
  auto dev = Start("--json", {"FAKE_STUBBORN=uplink"});
  ASSERT_TRUE(WaitForJson().is_object()) << Stderr();
  const pid_t uplink = PidNow("uplink");
  dev->Signal(SIGINT);
  ASSERT_TRUE(Eventually([&] { return Stderr().find("stopping; Ctrl-C once more") != std::string::npos; })) << Stderr();
  dev->Signal(SIGINT);
  const absl::Time before = absl::Now();
  EXPECT_EQ(WaitForEnd(*dev), 0);
  EXPECT_LT(absl::Now() - before, absl::Seconds(8));
  EXPECT_FALSE(Runs(uplink));
}

TEST_F(DevTest, LongPathGetsAShortSocketFolder) {
  const std::string name(120, 'x');
  const std::string command = "exec " + (bin_ / "bin/holdfast") + " dev --json --dir " + (work_ / name) + " >" +
                              stdout_path() + " 2>" + stderr_path();
  auto run = ChildProcess::Start({"dev", {"/bin/sh", "-c", command}, {}});
  ASSERT_TRUE(run.ok());
  const nlohmann::json json = WaitForJson();
  ASSERT_TRUE(json.is_object()) << Stderr();
  EXPECT_LT(json.at("run_dir").get<std::string>().size(), 90u);
  EXPECT_THAT(Stderr(), HasSubstr("is too long a path for Unix sockets"));
  (*run)->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(**run), 0);
  std::filesystem::remove_all(json.at("run_dir").get<std::string>());
}

TEST_F(DevTest, NoSecretOnStderr) {
  auto dev = Start("--json");
  const std::string key = WaitForJson().at("devices")[0].at("key").get<std::string>();
  dev->Signal(SIGTERM);
  EXPECT_EQ(WaitForEnd(*dev), 0);
  EXPECT_THAT(Stderr(), Not(HasSubstr(key)));
}

}  // namespace
}  // namespace holdfast::cli
