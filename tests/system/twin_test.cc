// Twins of a site without a hub: real processes, killed at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "cli/gateway.h"
#include "tests/system/gateway.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;

constexpr char kResponses[] = "$iothub/twin/res/#";
constexpr char kDesired[] = "$iothub/twin/PATCH/properties/desired/#";
constexpr char kReport[] = "$iothub/twin/PATCH/properties/reported/?$rid=";
constexpr char kGet[] = "$iothub/twin/GET/?$rid=";

// A device with its twin; connects again when the connection is lost. Not thread-safe.
class TwinDevice {
 public:
  TwinDevice(const Gateway& gateway, std::string device) : gateway_(gateway), device_(std::move(device)) {}

  struct Message {
    std::string topic;
    std::string payload;
  };
  // The next PUBLISH; nullopt: the connection is lost, or nothing came.
  std::optional<Message> Next(absl::Duration timeout) {
    mqtt::Frame frame;
    mqtt::Publish publish;
    while (stream_.open() && stream_.Read(&frame, timeout) == MqttStream::Result::kPacket) {
      if (frame.type() != mqtt::PacketType::kPublish) continue;
      if (mqtt::DecodePublish(frame, &publish) != mqtt::Error::kOk) break;
      return Message{std::string(publish.topic), std::string(publish.payload)};
    }
    return std::nullopt;
  }
  bool Connect() {
    return WaitFor(kPatience, [this] {
      stream_ = gateway_.LoggedIn(device_, /*clean_session=*/false);
      if (!stream_.open()) return false;
      std::string bytes;
      if (mqtt::AppendSubscribe(1, {{kResponses, 0}, {kDesired, 0}}, &bytes) != mqtt::Error::kOk) return false;
      stream_.Send(bytes);
      mqtt::Frame frame;
      return stream_.Read(&frame, absl::Seconds(5)) == MqttStream::Result::kPacket &&
             frame.type() == mqtt::PacketType::kSuback;
    });
  }
  void Close() { stream_.Close(); }
  void Publish(const std::string& topic, const std::string& payload) {
    std::string bytes;
    EXPECT_EQ(mqtt::AppendPublish({.topic = topic, .payload = payload}, &bytes), mqtt::Error::kOk);
    stream_.Send(bytes);
  }
  // The status of its answer; 0: there was none.
  int Report(const json& patch) {
    const std::string rid = std::to_string(++rid_);
    Publish(kReport + rid, patch.dump());
    const auto answer = Answer(rid);
    return answer ? std::stoi(answer->topic.substr(std::string("$iothub/twin/res/").size())) : 0;
  }
  json Get() {
    for (int i = 0; i < 5; ++i) {
      if (!stream_.open() && !Connect()) break;
      const std::string rid = std::to_string(++rid_);
      Publish(kGet + rid, "");
      const auto answer = Answer(rid);
      if (answer && answer->topic.starts_with("$iothub/twin/res/200/")) return json::parse(answer->payload);
      stream_.Close();
    }
    return json();
  }
  // Patches of desired properties that came while it waited for answers.
  std::vector<json>& pushes() { return pushes_; }
  bool WaitForPush(absl::Duration timeout = kPatience) {
    while (pushes_.empty()) {
      const auto message = Next(timeout);
      if (!message) return false;
      Take(*message);
    }
    return true;
  }

 private:
  void Take(const Message& message) {
    if (message.topic.starts_with("$iothub/twin/PATCH/properties/desired/"))
      pushes_.push_back(json::parse(message.payload));
  }
  std::optional<Message> Answer(const std::string& rid) {
    while (true) {
      auto message = Next(absl::Seconds(10));
      if (!message) {
        stream_.Close();
        return std::nullopt;
      }
      if (message->topic.find("/?$rid=" + rid) != std::string::npos) return message;
      Take(*message);
    }
  }

  const Gateway& gateway_;
  const std::string device_;
  MqttStream stream_;
  uint64_t rid_ = 0;
  std::vector<json> pushes_;
};

absl::StatusOr<router::v1::Twin> SetDesired(const Gateway& gateway, const std::string& client_id, const json& patch) {
  router::v1::UpdateDesiredPropertiesRequest request;
  request.set_client_id(client_id);
  request.set_patch(patch.dump());
  return cli::Gateway(gateway.run_dir())
      .Call<router::v1::Twins, router::v1::Twin>("router", &router::v1::Twins::Stub::UpdateDesiredProperties, request);
}

// P10: all of it without a hub, and over a restart of the gateway.
TEST(TwinSystemTest, ASiteWithoutAHubHasTwins) {
  Gateway gateway({.upstream = "mqtt://127.0.0.1:" + std::to_string(FreePort())});
  ASSERT_TRUE(gateway.Start());
  TwinDevice device(gateway, "dev1");
  ASSERT_TRUE(device.Connect());
  EXPECT_EQ(device.Get(), json::parse(R"({"desired":{"$version":0},"reported":{"$version":0}})"));
  EXPECT_EQ(device.Report({{"fw", "1.2"}, {"net", {{"ip", "10.0.0.7"}}}}), 204);
  EXPECT_EQ(device.Report({{"a b", 1}}), 400);
  const auto set = SetDesired(gateway, "dev1", {{"interval", 10}});
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_TRUE(device.WaitForPush());
  EXPECT_EQ(device.pushes()[0], json::parse(R"({"$version":1,"interval":10})"));

  device.Close();
  ASSERT_TRUE(gateway.Stop());
  ASSERT_TRUE(gateway.Start());
  EXPECT_EQ(device.Get(), json::parse(R"({"desired":{"$version":1,"interval":10},
      "reported":{"$version":1,"fw":"1.2","net":{"ip":"10.0.0.7"}}})"));
  // The command line tells the same.
  Process get({BinDir() + "/holdfast", "--run-dir", gateway.run_dir(), "--json", "twin", "get", "dev1"},
              gateway.dir() + "/get.log");
  get.Start();
  ASSERT_TRUE(get.WaitForExit(kPatience));
  EXPECT_EQ(get.exit_code(), 0);
  EXPECT_EQ(json::parse(get.Log())["document"], device.Get());
}

// P10, P1: a reported patch that was acknowledged is there, whatever is killed and when. What was not answered is there
// whole or not at all, and what is set here reaches the device.
TEST(TwinSystemTest, AcknowledgedPatchesSurviveKills) {
  Gateway gateway({.upstream = "mqtt://127.0.0.1:" + std::to_string(FreePort())});
  ASSERT_TRUE(gateway.Start());
  std::mt19937 random(20261125);
  std::atomic<bool> done = false;
  TwinDevice device(gateway, "dev1");
  json acknowledged = json::object();
  json sent = json::object();
  uint64_t count = 0;
  std::thread reporter([&] {
    for (int n = 1; !done || n <= 200; ++n) {
      if (!device.Connect()) break;
      int status = 204;
      // One patch a key: so each one's fate shows at the end.
      for (; status == 204 && (!done || n <= 200); ++n) {
        const std::string key = "k" + std::to_string(n % 500);
        sent[key] = n;
        status = device.Report({{key, n}});
        if (status == 204) acknowledged[key] = n;
        count += status == 204 ? 1 : 0;
      }
    }
  });
  // On this thread: a process ends with the thread that started it.
  for (int i = 0; i < 12; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 400));
    EXPECT_TRUE(gateway.Crash(i % 2 == 0 ? "router" : "store"));
  }
  done = true;
  reporter.join();
  device.Close();
  const json reported = device.Get()["reported"];
  for (const auto& [key, n] : acknowledged.items()) {
    ASSERT_TRUE(reported.contains(key)) << key;
    EXPECT_TRUE(reported[key] == n || reported[key] == sent[key]) << key << "=" << reported[key] << ", not " << n;
  }
  EXPECT_GE(reported["$version"], count);
  EXPECT_GE(count, 50u);
  device.pushes().clear();
  ASSERT_TRUE(SetDesired(gateway, "dev1", {{"after", true}}).ok());
  ASSERT_TRUE(device.WaitForPush());
  EXPECT_EQ(device.pushes()[0]["after"], true);
}

// What is set here while router or store is away or comes back reaches a device that stays, once.
TEST(TwinSystemTest, DesiredChangesReachTheDeviceOverARestartOfTheStore) {
  Gateway gateway({.upstream = "mqtt://127.0.0.1:" + std::to_string(FreePort())});
  ASSERT_TRUE(gateway.Start());
  TwinDevice device(gateway, "dev1");
  ASSERT_TRUE(device.Connect());
  json followed = json::object();
  for (int i = 1; i <= 6; ++i) {
    if (i % 2 == 0) {
      ASSERT_TRUE(gateway.Crash("store"));
    }
    ASSERT_TRUE(WaitFor(kPatience, [&] { return SetDesired(gateway, "dev1", {{"n", i}}).ok(); }));
    ASSERT_TRUE(device.WaitForPush());
    ASSERT_EQ(device.pushes().size(), 1u);
    EXPECT_EQ(device.pushes()[0], (json{{"n", i}, {"$version", i}}));
    device.pushes().clear();
  }
}

// The device gets what was set; a screen and a script don't, unless they say so.
TEST(TwinSystemTest, CommandMasksSecrets) {
  Gateway gateway({.upstream = "mqtt://127.0.0.1:" + std::to_string(FreePort())});
  ASSERT_TRUE(gateway.Start());
  const json desired = {{"wifi", {{"ssid", "hall"}, {"password", "hunter2"}}}, {"interval", 10}};
  TwinDevice device(gateway, "dev1");
  ASSERT_TRUE(device.Connect());
  ASSERT_TRUE(SetDesired(gateway, "dev1", desired).ok());
  const auto run = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {BinDir() + "/holdfast", "--run-dir", gateway.run_dir()});
    TempDir dir;
    Process command(words, dir / "out");
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    EXPECT_EQ(command.exit_code(), 0) << command.Log();
    return command.Log();
  };
  const std::vector<std::vector<std::string>> shows = {{"twin", "get", "dev1"},
                                                       {"--json", "twin", "get", "dev1"},
                                                       {"--json", "twin", "list"},
                                                       {"twin", "set", "dev1", R"({"interval": 11})"}};
  for (std::vector<std::string> words : shows) {
    const std::string masked = run(words);
    EXPECT_EQ(masked.find("hunter2"), std::string::npos) << masked;
    EXPECT_NE(masked.find("hall"), std::string::npos) << masked;
    words.push_back("--show-secrets");
    EXPECT_NE(run(words).find("hunter2"), std::string::npos);
  }
  EXPECT_EQ(json::parse(run({"--json", "twin", "get", "dev1"})).at("masked"), true);
  EXPECT_EQ(json::parse(run({"--json", "twin", "get", "dev1", "--show-secrets"})).at("masked"), false);
}

}  // namespace
}  // namespace holdfast::systest
