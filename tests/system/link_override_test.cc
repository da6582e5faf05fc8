// An outage that is rehearsed: `holdfast link offline` is to everybody what a cut line is, and ends by itself.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/twin/twin_record.h"
#include "tests/system/gateway_keys.h"
#include "tests/system/hub_gateway.h"
#include "tests/system/mosquitto.h"
#include "tests/system/recorder.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using uplink::v1::LINK_STATE_OFFLINE;
using uplink::v1::LINK_STATE_ONLINE;

// What `holdfast --json link …` prints; null and a failed test if it says no.
json Link(const Gateway& gateway, const std::vector<std::string>& words) {
  std::vector<std::string> argv = {BinDir() + "/holdfast", "--run-dir", gateway.run_dir(), "--json", "link"};
  argv.insert(argv.end(), words.begin(), words.end());
  TempDir dir;
  Process command(argv, dir / "link.log");
  command.Start();
  EXPECT_TRUE(command.WaitForExit(kPatience));
  EXPECT_EQ(command.exit_code(), 0) << command.Log();
  const json answer = json::parse(command.Log(), nullptr, false);
  return answer.is_object() ? answer.value("link", json()) : json();
}

// A module that wants to know whether the gateway is online, as it is told.
class LinkListener {
 public:
  explicit LinkListener(const Gateway& gateway) : stream_(gateway.LoggedIn("gw/sensor")) {
    std::string subscribe;
    EXPECT_EQ(mqtt::AppendSubscribe(1, {{"$holdfast/link", 0}}, &subscribe), mqtt::Error::kOk);
    EXPECT_TRUE(stream_.Send(subscribe));
  }
  // The next event that says so; null if none comes.
  json WaitFor(bool online) {
    mqtt::Frame frame;
    while (stream_.Read(&frame, kPatience) == MqttStream::Result::kPacket) {
      mqtt::Publish publish;
      if (frame.type() != mqtt::PacketType::kPublish || mqtt::DecodePublish(frame, &publish) != mqtt::Error::kOk)
        continue;
      const json event = json::parse(publish.payload, nullptr, false);
      if (event.is_object() && event.value("online", !online) == online) return event;
    }
    return nullptr;
  }

 private:
  MqttStream stream_;
};

// What gateways have asked of the hub.
json Work(const Hubsim& hub) {
  const json all = hub.Counters();
  json work;
  for (const char* what :
       {"connects", "messages", "twin_gets", "reported_patches", "scope_pages", "scope_identities"}) {
    work[what] = all.at(what);
  }
  return work;
}

// P1, P2: over a restart of uplink, which does not end it.
TEST(LinkOverrideTest, MessagesWaitUntilTheRehearsalIsOver) {
  TempDir dir;
  Mosquitto hub(dir / "hub");
  ASSERT_TRUE(hub.Start());
  Recorder recorder(hub.port());
  ASSERT_TRUE(recorder.WaitUntilSubscribed(kPatience));
  Gateway gateway(
      {.devices = {"dev1", "dev2", "gw/sensor"}, .upstream = hub.url(), .config = {{"gateway.device_id", "\"gw\""}}});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 200);
  ASSERT_TRUE(recorder.WaitForMessages(400, kPatience));
  LinkListener module(gateway);
  ASSERT_TRUE(module.WaitFor(true).is_object());

  const json link = Link(gateway, {"offline", "--for", "10m"});
  EXPECT_EQ(link.value("state", ""), "offline");
  EXPECT_THAT(link.value("reason", ""), StartsWith("offline by override until 20"));
  ASSERT_TRUE(link.at("override").is_object());
  EXPECT_EQ(link.at("override").at("mode"), "offline");
  EXPECT_TRUE(link.at("override").at("until").is_string());
  EXPECT_THAT(module.WaitFor(false).value("reason", ""), HasSubstr("by override"));
  fleet.Allow(1'000);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(1'000)) << "devices must not notice";
  ASSERT_TRUE(gateway.Crash("uplink"));
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->leads() && status->has_override() && status->lag_messages() == 2u * 800u;
  }));
  EXPECT_EQ(gateway.UplinkStatus()->state(), LINK_STATE_OFFLINE);
  EXPECT_EQ(gateway.UplinkStatus()->connects(), 0u) << "it did not try before it knew";
  EXPECT_EQ(recorder.total(), 400u);
  EXPECT_TRUE(gateway.Serving("uplink", "holdfast.uplink.v1.UplinkStatus"));

  EXPECT_TRUE(Link(gateway, {"auto"}).value("override", json("none")).is_null());
  EXPECT_TRUE(recorder.WaitForMessages(2'000, kPatience));
  EXPECT_TRUE(module.WaitFor(true).is_object());
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  ExpectDelivered(fleet, recorder.Arrivals(), 4096);
}

TEST(LinkOverrideTest, ForgottenRehearsalEndsByItself) {
  TempDir dir;
  Mosquitto hub(dir / "hub");
  ASSERT_TRUE(hub.Start());
  Recorder recorder(hub.port());
  ASSERT_TRUE(recorder.WaitUntilSubscribed(kPatience));
  Gateway gateway({.devices = DeviceNames(1), .upstream = hub.url()});
  ASSERT_TRUE(gateway.Start());
  ASSERT_TRUE(gateway.WaitForLink(LINK_STATE_ONLINE, kPatience));
  const absl::Time began = absl::Now();
  EXPECT_EQ(Link(gateway, {"offline", "--for", "3s"}).value("state", ""), "offline");
  Fleet fleet(gateway, 1, 100);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(100));
  EXPECT_TRUE(recorder.WaitForMessages(100, kPatience));
  EXPECT_GE(absl::Now() - began, absl::Seconds(2));
  EXPECT_FALSE(gateway.UplinkStatus()->has_override());
  const std::string log = gateway.process("uplink").Log();
  EXPECT_THAT(log, HasSubstr("the link is overridden mode=offline ends=20"));
  EXPECT_THAT(log, HasSubstr("the link's override ended mode=offline by=time"));
}

// P10: below a hub every connection ends, clients' too; nobody asks it for anything; afterwards both sides agree.
TEST(LinkOverrideTest, BelowAHubItIsAsIfTheLineWereCut) {
  HubGateway rig({"dev1", "dev2"}, {{"uplink.backoff_min", "\"100ms\""}});
  ASSERT_TRUE(rig.StartOnline());
  Gateway& gateway = rig.gateway();
  GatewayKeys keys(gateway.run_dir());
  keys.SetPresent("dev1", WaitsForTheHub());
  ASSERT_TRUE(rig.hub().WaitForConnection("dev1", kPatience)) << "held for it";
  ASSERT_TRUE(keys.WaitForTwin(
      "dev1", [](const auto& twin) { return twin.synced_unix_ms() != 0; }, kPatience));

  EXPECT_EQ(Link(gateway, {"offline"}).value("state", ""), "offline");
  EXPECT_TRUE(
      WaitFor(kPatience, [&] { return !rig.hub().IsConnected("edge/$edgeHub") && !rig.hub().IsConnected("dev1"); }));
  const json before = Work(rig.hub());
  Publisher device(rig.Device("dev2", 100));
  ASSERT_TRUE(device.WaitUntilAcknowledged(100, kPatience));
  rig.hub().PatchDesired("dev1", {{"mode", "eco"}});
  keys.ChangeTwin(
      "dev1", [](twin::v1::TwinRecord* record) { EXPECT_TRUE(twin::ReportProperties(R"({"speed":7})", record).ok()); });
  EXPECT_EQ(rig.hub().Invoke("dev1", "stop", nullptr, 5).status, 404) << "the hub has nobody to call";
  EXPECT_TRUE(WaitFor(kPatience, [&] { return rig.Status().lag_messages() == 100; }));
  EXPECT_EQ(Work(rig.hub()), before) << "not a request, not a connection";

  EXPECT_TRUE(Link(gateway, {"online"}).at("override").is_object());
  EXPECT_TRUE(rig.hub().WaitForMessages(100, kPatience));
  EXPECT_TRUE(rig.hub().WaitForConnection("dev1", kPatience));
  EXPECT_TRUE(keys.WaitForTwin(
      "dev1",
      [](const auto& twin) {
        const json desired = json::parse(twin.desired(), nullptr, false);
        return desired.is_object() && desired.value("mode", "") == "eco" && twin.pending().empty();
      },
      kPatience));
  EXPECT_EQ(rig.hub().Twin("dev1").at("properties").at("reported").value("speed", 0), 7);
}

int Number(const json& status, const char* path) {
  return status.value(json::json_pointer(path), -1);
}

// `holdfast status --watch` tells of a change when it happens, not when it next looks, and ends cleanly.
TEST(StatusWatchTest, ShowsAChangeAtOnceAndEndsWithCtrlC) {
  Gateway gateway({.upstream = fmt::format("mqtt://127.0.0.1:{}", FreePort())});
  ASSERT_TRUE(gateway.Start());
  Process watch(
      {BinDir() + "/holdfast", "--run-dir", gateway.run_dir(), "--json", "status", "--watch", "--interval", "3600"},
      gateway.dir() + "/watch.log");
  watch.Start();
  const auto shows = [&](const std::function<bool(const json&)>& is) {
    return WaitFor(kPatience, [&] {
      std::istringstream lines(watch.Log());
      for (std::string line; std::getline(lines, line);) {
        const json status = json::parse(line, nullptr, false);
        if (status.is_object() && is(status)) return true;
      }
      return false;
    });
  };
  ASSERT_TRUE(shows([](const json& s) { return Number(s, "/clients/sessions") == 0 && s.at("link").is_object(); }));
  MqttStream device = gateway.LoggedIn("dev1");
  EXPECT_TRUE(shows([](const json& s) { return Number(s, "/clients/sessions") == 1; })) << "a client came";
  Link(gateway, {"offline"});
  EXPECT_TRUE(shows([](const json& s) { return s.contains(json::json_pointer("/link/override/mode")); }))
      << "the link's override";
  watch.Signal(SIGINT);
  EXPECT_TRUE(watch.WaitForExit(kPatience));
  EXPECT_EQ(watch.exit_code(), 0);
}

}  // namespace
}  // namespace holdfast::systest
