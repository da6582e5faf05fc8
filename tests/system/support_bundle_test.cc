// P6: what `holdfast support-bundle` writes has all that it should, no secret of the gateway, and says what is missing.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "tests/system/gateway.h"
#include "tests/system/key_search.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr auto kPatience = absl::Seconds(30);
constexpr char kPassword[] = "sword-fish-4711";
constexpr char kTwinValue[] = "the wifi is called elsewhere";

// What the command said, and the unpacked bundle.
struct Unpacked {
  json said;
  std::map<std::string, std::string> files;  // by name within its folder
};

class SupportBundleTest : public testing::Test {
 protected:
  explicit SupportBundleTest() : gateway_(Options()) {}

  Gateway::Options Options() {
    WriteFile(dir_ / "password", std::string(kPassword) + "\n");
    return {.devices = {"dev1", "dev1/mod1"},
            .upstream = fmt::format("mqtt://127.0.0.1:{}", FreePort()),  // nobody is there
            .config = {{"store.encryption_key_file", fmt::format("\"{}\"", dir_ / "store.key")},
                       {"store.metrics_address", fmt::format("\"127.0.0.1:{}\"", FreePort())},
                       {"uplink.username", "\"gateway\""},
                       {"uplink.password_file", fmt::format("\"{}\"", dir_ / "password")}}};
  }

  // Runs the command, which must succeed, and unpacks what it wrote.
  Unpacked Make(std::vector<std::string> more, std::map<std::string, std::string> env = {}) {
    const std::string file = dir_ / fmt::format("bundle{}.tar.gz", made_);
    const std::string folder = dir_ / fmt::format("bundle{}", made_++);
    std::vector<std::string> argv = {BinDir() + "/holdfast", "--json",         "--config",
                                     gateway_.config_path(), "support-bundle", file};
    argv.insert(argv.end(), more.begin(), more.end());
    Process command(argv, folder + ".log", std::move(env));
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    EXPECT_EQ(command.exit_code(), 0) << command.Log();
    Unpacked bundle{.said = json::parse(command.Log(), nullptr, false), .files = {}};
    EXPECT_TRUE(bundle.said.is_object()) << command.Log();
    EXPECT_EQ(std::filesystem::status(file).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

    std::filesystem::create_directory(folder);
    Process unpack({"tar", "-xzf", file, "-C", folder}, folder + ".log");
    unpack.Start();
    EXPECT_TRUE(unpack.WaitForExit(kPatience));
    EXPECT_EQ(unpack.exit_code(), 0) << unpack.Log();
    const std::string root = folder + "/" + bundle.said.value("folder", "");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      bundle.files[std::filesystem::relative(entry.path(), root)] = ReadFile(entry.path());
    }
    return bundle;
  }

  // Every key and password there is, base64 where it is bytes.
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys = {gateway_.key("dev1"), gateway_.key("dev1/mod1")};
    for (const std::string& file : {dir_ / "store.key", gateway_.data_dir() + "/secrets/sealing.key"}) {
      EXPECT_GE(ReadFile(file).size(), 32u) << file;
      keys.push_back(absl::Base64Escape(ReadFile(file).substr(0, 32)));
    }
    return keys;
  }

  const TempDir dir_;
  Gateway gateway_;
  int made_ = 0;
};

json Parsed(const Unpacked& bundle, const std::string& name) {
  const auto file = bundle.files.find(name);
  return file == bundle.files.end() ? json("not in the bundle") : json::parse(file->second, nullptr, false);
}

std::string ConfigValue(const Unpacked& bundle, std::string_view name) {
  const json configuration = Parsed(bundle, "configuration.json");
  for (const json& given : configuration.at("given")) {
    if (given.at("name") == name) return given.at("value");
  }
  return "not given";
}

std::vector<std::string> Missing(const Unpacked& bundle) {
  std::vector<std::string> names;
  for (const json& missing : bundle.said.at("missing")) names.push_back(missing.at("member"));
  return names;
}

TEST_F(SupportBundleTest, P6_HasWhatAMaintainerNeedsAndNoSecret) {
  ASSERT_TRUE(gateway_.Start());
  const MqttStream device = gateway_.LoggedIn("dev1");
  ASSERT_TRUE(device.open());
  Process set({BinDir() + "/holdfast", "--config", gateway_.config_path(), "twin", "set", "dev1",
               fmt::format("{{\"note\": \"{}\", \"token\": \"{}\"}}", kTwinValue, gateway_.key("dev1/mod1"))},
              dir_ / "set.log");
  set.Start();
  ASSERT_TRUE(set.WaitForExit(kPatience));
  ASSERT_EQ(set.exit_code(), 0) << set.Log();

  // Secrets in places where they do not belong: an operator's environment.
  const std::map<std::string, std::string> env = {
      {"HOLDFAST_UPLINK_PASSWORD", kPassword},
      {"HOLDFAST_UPLINK_NOTE", "HostName=h;SharedAccessKey=" + gateway_.key("dev1")},
      {"HOLDFAST_ROUTER_NOTE", fmt::format("mqtt://gateway:{}@hub", kPassword)}};
  const Unpacked bundle = Make({}, env);
  const Unpacked with_twins = Make({"--with-twins"}, env);

  EXPECT_THAT(Missing(bundle), UnorderedElementsAre("metrics/auth.txt", "metrics/router.txt", "metrics/uplink.txt"));
  EXPECT_FALSE(Parsed(bundle, "versions.json").at("holdfast").get<std::string>().empty());
  EXPECT_EQ(Parsed(bundle, "versions.json").at("processes").size(), 4u);
  EXPECT_EQ(Parsed(bundle, "host.json").at("disks")[0].at("folder"), gateway_.data_dir());
  EXPECT_GT(Parsed(bundle, "host.json").at("disks")[0].at("free_bytes"), 0);
  EXPECT_EQ(Parsed(bundle, "status.json").at("healthy"), true);
  EXPECT_GT(Parsed(bundle, "doctor.json").at("checks").size(), 4u);
  EXPECT_EQ(Parsed(bundle, "queues.json").at("queues")[0].at("name"), "upstream");
  EXPECT_EQ(Parsed(bundle, "sessions.json").at("sessions")[0].at("client_id"), "dev1");
  EXPECT_EQ(Parsed(bundle, "routes.json").at("routes").size(), 1u);
  EXPECT_EQ(Parsed(bundle, "identities.json").at("identities").size(), 2u);
  EXPECT_EQ(Parsed(bundle, "twins.json").at("twins")[0].at("desired_version"), 1);
  EXPECT_THAT(bundle.files.at("metrics/store.txt"), HasSubstr("holdfast_store_"));
  EXPECT_EQ(ConfigValue(bundle, "uplink.password"), "(redacted)");
  EXPECT_EQ(ConfigValue(bundle, "uplink.note"), "HostName=h;SharedAccessKey=(redacted)");
  EXPECT_EQ(ConfigValue(bundle, "router.note"), "mqtt://gateway:(redacted)@hub");
  EXPECT_EQ(ConfigValue(bundle, "uplink.password_file"), dir_ / "password");
  EXPECT_EQ(Parsed(bundle, "bundle.json").at("missing").size(), 3u);

  EXPECT_THAT(bundle.files.at("twins.json"), Not(HasSubstr(kTwinValue)));
  EXPECT_THAT(with_twins.files.at("twins.json"), HasSubstr(kTwinValue));
  for (const Unpacked* each : {&bundle, &with_twins}) {
    for (const auto& [name, content] : each->files) {
      for (const std::string& key : Keys()) EXPECT_EQ(Found(key, content), 0) << name;
      EXPECT_THAT(content, Not(HasSubstr(kPassword))) << name;
    }
  }
}

TEST_F(SupportBundleTest, SaysWhatIsMissingWhenNothingRuns) {
  const Unpacked bundle = Make({});
  EXPECT_THAT(Missing(bundle), Contains("queues.json"));
  EXPECT_THAT(Missing(bundle), Contains("metrics/store.txt"));
  EXPECT_EQ(Parsed(bundle, "queues.json").at("error").at("code"), "UNAVAILABLE");
  EXPECT_EQ(Parsed(bundle, "status.json").at("healthy"), false);
  EXPECT_GT(Parsed(bundle, "doctor.json").at("faults"), 0);
  EXPECT_FALSE(Parsed(bundle, "configuration.json").at("given").empty());
}

TEST_F(SupportBundleTest, IsMadeWithAConfigurationThatCantBeRead) {
  WriteFile(gateway_.config_path(), fmt::format("[uplink]\npassword = \"{}\n", kPassword));
  const Unpacked bundle = Make({});
  EXPECT_THAT(Missing(bundle), Contains("configuration.json"));
  for (const auto& [name, content] : bundle.files) EXPECT_THAT(content, Not(HasSubstr(kPassword))) << name;
}

}  // namespace
}  // namespace holdfast::systest
