// Two routers, and two uplinks, on one store: clients of both routers reach each other and may move; one uplink has the
// link.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <future>
#include <optional>

#include "tests/system/mosquitto.h"
#include "tests/system/receiver.h"
#include "tests/system/recorder.h"
#include "tests/system/rig.h"
#include "tests/system/tcp_proxy.h"

namespace holdfast::systest {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kSettings[] = R"json({"schemaVersion": "1.1", "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
  "routes": {"filter": "FROM /messages/modules/sensor/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")"}})json";

class ReplicasTest : public ::testing::Test {
 protected:
  ReplicasTest()
      : gateway_({.devices = {"gw/sensor", "gw/filter", "press"}, .config = {{"gateway.device_id", "\"gw\""}}}),
        other_port_(FreePort()),
        other_({BinDir() + "/holdfast-router", "--config", gateway_.config_path(), "--instance", "1"},
               gateway_.dir() + "/router1.log",
               {{"HOLDFAST_ROUTER_MQTT_ADDRESS", fmt::format("127.0.0.1:{}", other_port_)}}) {
    const std::string path = gateway_.dir() + "/settings.json";
    WriteFile(path, kSettings);
    gateway_.Reconfigure({{"router.settings_file", fmt::format("\"{}\"", path)}});
  }
  ~ReplicasTest() override {
    other_.Kill();
    if (HasFailure()) fmt::print("--- router 1\n{}\n", other_.Log());
  }

  void Start() {
    ASSERT_TRUE(gateway_.Start());
    StartOther();
  }
  void StartOther() {
    other_.Start();
    ASSERT_TRUE(WaitFor(kPatience, [this] { return PortAnswers(other_port_); }));
  }
  std::unique_ptr<Receiver> Filter(int port) {
    auto receiver = std::make_unique<Receiver>(Receiver::Options{.port = port,
                                                                 .client = "gw/filter",
                                                                 .key = gateway_.key("gw/filter"),
                                                                 .hub_hostname = std::string(Gateway::hub_hostname()),
                                                                 .filter = "devices/gw/modules/filter/inputs/#"});
    EXPECT_TRUE(receiver->WaitUntilSubscribed(kPatience));
    return receiver;
  }
  void ExpectAll(const Publisher& publisher, const Receiver& receiver, uint64_t duplicates_max) {
    const DeliveryReport report = Compare({{publisher.device(), publisher.acknowledged()}}, receiver.Arrivals());
    EXPECT_EQ(report.lost, 0u) << report.Text();
    EXPECT_EQ(report.out_of_order, 0u) << report.Text();
    EXPECT_LE(report.duplicates, duplicates_max) << report.Text();
  }
  // What `holdfast method call` prints of a call of press's method "stop". It waits for the client: the other router
  // knows a moment later that it is there.
  std::string CallStop() {
    Process command({BinDir() + "/holdfast", "--run-dir", gateway_.run_dir(), "--json", "method", "call", "press",
                     "stop", "--connect-timeout", "20", "--payload", R"({"now":true})"},
                    gateway_.dir() + "/call.log");
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    return command.Log();
  }

  Gateway gateway_;
  const int other_port_;
  Process other_;
};

// Both routers on one port.
class SharedPortTest : public ::testing::Test {
 protected:
  static constexpr int kDevices = 24;

  static std::vector<std::string> Devices() {
    std::vector<std::string> devices;
    for (int i = 0; i < kDevices; ++i) devices.push_back(fmt::format("dev{}", i));
    return devices;
  }
  // Connects everybody; how many of them the router of this log has.
  int Connect(const Process& router) {
    clients_.clear();
    const auto connected = [&] {
      const std::string log = router.Log();
      int count = 0;
      for (size_t at = 0; (at = log.find("client connected", at)) != log.npos; ++at) ++count;
      return count;
    };
    const int before = connected();
    for (const std::string& device : Devices()) {
      clients_.push_back(gateway_.LoggedIn(device));
      EXPECT_TRUE(clients_.back().open()) << device;
    }
    return connected() - before;
  }

  Gateway gateway_{{.devices = Devices(), .config = {{"router.share_ports", "true"}}}};
  Process other_{{BinDir() + "/holdfast-router", "--config", gateway_.config_path(), "--instance", "1"},
                 gateway_.dir() + "/router1.log"};
  std::vector<MqttStream> clients_;
};

// Answers one method call that comes in, with 217 and what was asked; its request's topic.
std::string AnswerOne(MqttStream* stream) {
  mqtt::Frame frame;
  while (stream->Read(&frame, kPatience) == MqttStream::Result::kPacket) {
    mqtt::Publish publish;
    if (frame.type() != mqtt::PacketType::kPublish || mqtt::DecodePublish(frame, &publish) != mqtt::Error::kOk)
      continue;
    const std::string topic(publish.topic);
    const std::string answer = "$iothub/methods/res/217/" + topic.substr(topic.find('?'));
    std::string bytes;
    EXPECT_EQ(mqtt::AppendPublish({.topic = answer, .payload = publish.payload}, &bytes), mqtt::Error::kOk);
    EXPECT_TRUE(stream->Send(bytes));
    return topic;
  }
  return "no call came";
}

// P1, P2.
TEST_F(ReplicasTest, MessagesGoFromAClientOfOneToAClientOfTheOther) {
  constexpr uint64_t kCount = 5000;
  Start();
  const auto filter = Filter(other_port_);
  Publisher sensor(gateway_.Device("gw/sensor", kCount));
  EXPECT_TRUE(filter->WaitForMessages(kCount, kPatience));
  ExpectAll(sensor, *filter, 0);
}

// The command asks router 0; the client is at the other one.
TEST_F(ReplicasTest, MethodsReachAClientOfTheOther) {
  Start();
  MqttStream press = gateway_.LoggedIn("press", true, other_port_);
  ASSERT_TRUE(press.open());
  std::string subscribe;
  ASSERT_EQ(mqtt::AppendSubscribe(1, {{"$iothub/methods/POST/#", 0}}, &subscribe), mqtt::Error::kOk);
  ASSERT_TRUE(press.Send(subscribe));
  mqtt::Frame suback;
  ASSERT_EQ(press.Read(&suback, kPatience), MqttStream::Result::kPacket);
  // Not the other way round: a process ends with the thread that started it.
  auto topic = std::async(std::launch::async, [&] { return AnswerOne(&press); });
  const std::string printed = CallStop();
  EXPECT_THAT(topic.get(), StartsWith("$iothub/methods/POST/stop/?$rid="));
  EXPECT_THAT(printed, HasSubstr("217"));
  EXPECT_THAT(printed, HasSubstr(R"({"now":true})"));
  EXPECT_THAT(gateway_.process("router").Log(), HasSubstr("method called client_id=press")) << "nobody else was asked";
}

// P1, P2, P3: the session moves with its client; a router that is killed keeps nothing back.
TEST_F(ReplicasTest, ClientMovesWhenItsRouterIsKilled) {
  Start();
  TcpProxy balancer(other_port_);
  const auto filter = Filter(balancer.port());
  Publisher::Options options = gateway_.Device("gw/sensor");
  options.rate = 2000;
  Publisher sensor(options);
  uint64_t expected = 500;
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(filter->WaitForMessages(expected, kPatience));
    balancer.SetTarget(gateway_.mqtt_port());
    other_.Kill();
    expected = filter->different() + 500;
    ASSERT_TRUE(filter->WaitForMessages(expected, kPatience)) << filter->different();
    StartOther();
    balancer.SetTarget(other_port_);
    balancer.Cut();
    expected = filter->different() + 500;
  }
  ASSERT_TRUE(filter->WaitForMessages(expected, kPatience));
  ASSERT_TRUE(sensor.Finish(kPatience));
  ASSERT_TRUE(filter->WaitForMessages(sensor.acknowledged(), kPatience));
  // Each of the six moves: a window that was delivered and not yet committed.
  ExpectAll(sensor, *filter, 6 * 64);
}

// Everybody is served by one or the other; by the one that is left when the other one is gone, and by both again.
TEST_F(SharedPortTest, ConnectionsAreSharedOut) {
  ASSERT_TRUE(gateway_.Start());
  other_.Start();
  ASSERT_TRUE(WaitFor(kPatience, [this] { return other_.Log().find("listening protocol=mqtt") != std::string::npos; }));
  const int first = Connect(other_);
  EXPECT_GT(first, 0);
  EXPECT_LT(first, kDevices);
  other_.Kill();
  EXPECT_EQ(Connect(gateway_.process("router")), kDevices);
  other_.Start();
  EXPECT_TRUE(WaitFor(kPatience, [this] { return Connect(other_) > 0; }));
}

// A broker as hub, and two uplinks.
class TwoUplinksTest : public ::testing::Test {
 protected:
  ~TwoUplinksTest() override {
    second_.Kill();
    if (HasFailure()) fmt::print("--- uplink 1\n{}\n", second_.Log());
  }

  void Start() {
    ASSERT_TRUE(hub_.Start());
    recorder_.emplace(hub_.port());
    ASSERT_TRUE(recorder_->WaitUntilSubscribed(kPatience));
    ASSERT_TRUE(gateway_.Start());
    second_.Start();
    ASSERT_TRUE(WaitFor(kPatience, [&] { return second_.Log().find("standing by") != std::string::npos; }));
  }
  std::string Leader() const {
    const auto status = gateway_.UplinkStatus();
    return status.ok() && status->leads() ? status->leader() : "";
  }
  Process& Uplink(const std::string& instance) { return instance == "1" ? second_ : gateway_.process("uplink"); }
  // From now until the other one leads and messages get on.
  absl::Duration TakeOver(const std::string& before, uint64_t received) {
    const absl::Time began = absl::Now();
    EXPECT_TRUE(WaitFor(kPatience, [&] { return !Leader().empty() && Leader() != before; })) << Leader();
    EXPECT_TRUE(recorder_->WaitForMessages(received + 200, kPatience));
    return absl::Now() - began;
  }

  void SetLink(uplink::v1::LinkMode mode) {
    uplink::v1::SetLinkRequest request;
    request.set_mode(mode);
    const auto set = cli::Gateway(gateway_.run_dir())
                         .Call<uplink::v1::LinkControl, uplink::v1::SetLinkResponse>(
                             "uplink", &uplink::v1::LinkControl::Stub::SetLink, request);
    EXPECT_TRUE(set.ok()) << set.status();
  }

  TempDir dir_;
  Mosquitto hub_{dir_ / "hub"};
  std::optional<Recorder> recorder_;
  Gateway gateway_{{.devices = {"dev1"}, .upstream = hub_.url()}};
  Process second_{{BinDir() + "/holdfast-uplink", "--config", gateway_.config_path(), "--instance", "1"},
                  gateway_.dir() + "/uplink1.log"};
};

// P1, P2: whichever leads, stops, is killed or stands still, each message arrives, in order, and a change of leaders
// repeats what was in flight at most.
TEST_F(TwoUplinksTest, OtherOneTakesTheLinkOver) {
  Start();
  EXPECT_EQ(Leader(), "0");
  Publisher::Options options = gateway_.Device("dev1");
  options.rate = 1000;
  Publisher device(options);
  ASSERT_TRUE(recorder_->WaitForMessages(200, kPatience));

  // Promised: 1 s after a clean stop, 5 s after a kill; the rest is the room that a loaded test machine needs. One that
  // waited for the lease would need 4 s.
  EXPECT_TRUE(gateway_.process("uplink").Stop());
  EXPECT_LT(TakeOver("0", recorder_->different()), absl::Milliseconds(3500));
  ASSERT_TRUE(gateway_.Start("uplink"));
  second_.Kill();
  EXPECT_LT(TakeOver("1", recorder_->different()), absl::Seconds(15));
  second_.Start();

  // Frozen until its lease is over: when it goes on, it must not touch anything, and ends.
  Process& frozen = gateway_.process("uplink");
  frozen.Signal(SIGSTOP);
  TakeOver("0", recorder_->different());
  frozen.Signal(SIGCONT);
  EXPECT_TRUE(frozen.WaitForExit(kPatience));
  EXPECT_EQ(frozen.exit_code(), 1);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return frozen.Log().find("leads no more") != std::string::npos; }));

  ASSERT_TRUE(device.Finish(kPatience));
  ASSERT_TRUE(recorder_->WaitForMessages(device.acknowledged(), kPatience));
  const DeliveryReport report = Compare({{"dev1", device.acknowledged()}}, recorder_->Arrivals());
  EXPECT_EQ(report.lost, 0u) << report.Text();
  EXPECT_EQ(report.out_of_order, 0u) << report.Text();
  EXPECT_LE(report.duplicates, 3u * 4096u) << report.Text();
}

// An override is the gateway's, not one uplink's: whoever takes over keeps it, and whoever is asked ends it.
TEST_F(TwoUplinksTest, OverrideOutlivesTheUplinkThatWasTold) {
  Start();
  ASSERT_TRUE(gateway_.WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience));
  SetLink(uplink::v1::LINK_MODE_OFFLINE);
  ASSERT_TRUE(gateway_.WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  Publisher device(gateway_.Device("dev1", 500));
  ASSERT_TRUE(device.WaitUntilAcknowledged(500, kPatience));
  gateway_.process("uplink").Kill();
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Leader() == "1"; }));
  EXPECT_TRUE(WaitFor(kPatience, [&] {  // uplink looks at the queue about once a second
    const auto status = gateway_.UplinkStatus();
    return status.ok() && status->has_override() && status->lag_messages() == 500;
  }));
  EXPECT_EQ(gateway_.UplinkStatus()->state(), uplink::v1::LINK_STATE_OFFLINE);
  EXPECT_EQ(recorder_->total(), 0u);
  ASSERT_TRUE(gateway_.Start("uplink"));
  SetLink(uplink::v1::LINK_MODE_AUTO);  // instance 0, which stands by
  EXPECT_TRUE(recorder_->WaitForMessages(500, kPatience));
}

}  // namespace
}  // namespace holdfast::systest
