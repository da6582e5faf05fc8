// HubExchange with a store in memory, a router that answers as it is told, and a scripted hub on the connection.
#include "services/uplink/hub_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/synchronization/notification.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/mqtt/packet.h"
#include "lib/mqtt/property_bag.h"
#include "lib/testing/scripted_peer.h"
#include "lib/testing/temp_dir.h"
#include "services/uplink/fake_store.h"

namespace holdfast::uplink {
namespace {

using nlohmann::json;
using std::string_literals::operator""s;
using testing::HasSubstr;
using testing::StartsWith;
using testing::UnorderedElementsAre;

class FakeRouter final : public router::v1::Methods::Service {
 public:
  explicit FakeRouter(const std::string& run_dir) {
    server_ = *rpc::Server::Create({.run_dir = run_dir, .service = "router"}, {this});
    server_->SetServing(true);
  }
  ~FakeRouter() override { server_->Stop(absl::ZeroDuration()); }

  // "dev1" answers; "slow" never does; others are not there.
  grpc::Status InvokeMethod(grpc::ServerContext* context, const router::v1::InvokeMethodRequest* request,
                            router::v1::InvokeMethodResponse* response) override {
    if (request->method_name() == "slow") {
      ++waiting_;
      while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
      --waiting_;
      return grpc::Status::CANCELLED;
    }
    if (request->method_name() == "late") return {grpc::StatusCode::DEADLINE_EXCEEDED, "no answer"};
    if (request->device_id() != "dev1") return {grpc::StatusCode::NOT_FOUND, "not connected"};
    response->set_status(217);
    response->set_payload(request->method_name() + ":" + request->payload());
    return grpc::Status::OK;
  }
  int waiting() const { return waiting_; }

 private:
  std::atomic<int> waiting_ = 0;
  std::unique_ptr<rpc::Server> server_;
};

// One PUBLISH, SUBSCRIBE or UNSUBSCRIBE that the hub got.
struct Got {
  mqtt::PacketType type = mqtt::PacketType::kConnect;
  std::string topic;
  std::string payload;
  std::vector<std::string> filters;
  uint16_t packet_id = 0;
};

class HubExchangeTest : public testing::Test, private HubExchange::Owner, private mqtt::Client::Handler {
 protected:
  HubExchangeTest()
      : store_(dir_.path()),
        router_(dir_.path()),
        store_channels_(dir_.path(), "store"),
        router_channels_(dir_.path(), "router"),
        metrics_(*Metrics::Create("")),
        work_(boost::asio::make_work_guard(io_)) {
    options_.c2d.backoff_min = options_.c2d.backoff_max = absl::Milliseconds(10);
    options_.twin.backoff_min = options_.twin.backoff_max = absl::Milliseconds(20);
  }
  ~HubExchangeTest() override {
    Do([this] { client_.reset(); });
    Do([this] { ticker_.cancel(); });
    io_.stop();
    thread_.join();
    exchange_.reset();
  }

  void Start() {
    exchange_ = std::make_unique<HubExchange>(options_, &store_channels_, &router_channels_, metrics_.get(),
                                              *Clock::System(), io_, static_cast<HubExchange::Owner*>(this));
    exchange_->Start();
    thread_ = std::thread([this] { io_.run(); });
    Do([this] { Tick(); });
  }
  // The connection of `client` is there.
  void Connect(const std::string& client) {
    Do([&] {
      client_.reset();
      name_ = client;
      client_ = std::make_unique<mqtt::Client>(
          io_,
          mqtt::Client::Options{.host = "127.0.0.1", .port = hub_.port(), .client_id = "c", .clean_session = false},
          static_cast<mqtt::Client::Handler*>(this));
      client_->Start();
    });
    ASSERT_TRUE(hub_.Accept().ok());
    ASSERT_TRUE(hub_.ReadPacket().ok());
    ASSERT_TRUE(hub_.Send("\x20\x02\x00\x00"s).ok());
  }
  void Disconnect() {
    Do([this] {
      exchange_->Close(name_);
      client_.reset();
    });
  }
  Got Next() {
    const auto packet = hub_.ReadPacket();
    EXPECT_TRUE(packet.ok()) << packet.status();
    if (!packet.ok()) return {};
    const mqtt::ScanResult scan = mqtt::ScanFrame(*packet, mqtt::kPacketBytesMax);
    Got got{.type = scan.frame.type()};
    if (got.type == mqtt::PacketType::kPublish) {
      mqtt::Publish p;
      EXPECT_EQ(mqtt::DecodePublish(scan.frame, &p), mqtt::Error::kOk);
      got.topic = p.topic;
      got.payload = p.payload;
    } else if (got.type == mqtt::PacketType::kSubscribe) {
      mqtt::Subscribe s;
      EXPECT_EQ(mqtt::DecodeSubscribe(scan.frame, &s), mqtt::Error::kOk);
      for (const auto& subscription : s.subscriptions) got.filters.emplace_back(subscription.filter);
      got.packet_id = s.packet_id;
    } else if (got.type == mqtt::PacketType::kUnsubscribe) {
      mqtt::Unsubscribe u;
      EXPECT_EQ(mqtt::DecodeUnsubscribe(scan.frame, &u), mqtt::Error::kOk);
      for (const auto filter : u.filters) got.filters.emplace_back(filter);
    } else if (got.type == mqtt::PacketType::kPuback) {
      EXPECT_EQ(mqtt::DecodePacketId(scan.frame, &got.packet_id), mqtt::Error::kOk);
    }
    return got;
  }
  // Answers the subscription that comes next; its filters.
  std::vector<std::string> Grant() {
    const Got got = Next();
    EXPECT_EQ(got.type, mqtt::PacketType::kSubscribe);
    std::string out;
    mqtt::AppendSuback(got.packet_id, std::string(got.filters.size(), '\x01'), &out);
    EXPECT_TRUE(hub_.Send(out).ok());
    return got.filters;
  }
  void Send(const std::string& topic, const std::string& payload, uint16_t packet_id = 0) {
    std::string out;
    mqtt::AppendPublish(
        {.topic = topic, .payload = payload, .packet_id = packet_id, .qos = packet_id == 0 ? uint8_t{0} : uint8_t{1}},
        &out);
    ASSERT_TRUE(hub_.Send(out).ok());
  }
  // The rid of the twin request that comes next.
  std::string Rid(const std::string& topic_start, const std::string& payload = "") {
    const Got got = Next();
    EXPECT_THAT(got.topic, StartsWith(topic_start));
    EXPECT_EQ(got.payload, payload);
    const size_t at = got.topic.find("$rid=");
    return at == std::string::npos ? "" : got.topic.substr(at + 5);
  }
  void AnswerTwin(const std::string& rid, int status, const std::string& body = "") {
    Send("$iothub/twin/res/" + std::to_string(status) + "/?$rid=" + rid, body);
  }
  void SetPresence(const std::string& client, bool c2d, bool methods, bool desired) {
    presence::v1::ClientPresence presence;
    presence.set_cloud_to_device(c2d);
    presence.set_methods(methods);
    presence.set_desired_properties(desired);
    store_.SetValue("presence/clients/" + client, presence.SerializeAsString());
  }
  template <typename F>
  void ChangeTwin(const std::string& client, F change) {
    twin::v1::TwinRecord record;
    record.ParseFromString(store_.value("twins/" + client));
    change(&record);
    store_.SetValue("twins/" + client, record.SerializeAsString());
  }
  template <typename F>
  bool WaitTwin(const std::string& client, F fulfils) {
    return store_.key_value().WaitFor("twins/" + client, [&](const std::optional<std::string>& value) {
      twin::v1::TwinRecord record;
      return value && record.ParseFromString(*value) && fulfils(record);
    });
  }
  template <typename F>
  bool Wait(F done) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&done), absl::Seconds(20));
  }
  bool WaitWanted(const std::string& client, bool wanted) {
    return Wait([&] { return wanted_.contains(client) == wanted; });
  }

  TempDir dir_;
  FakeStore store_;
  FakeRouter router_;
  ScriptedPeer hub_;
  HubExchange::Options options_;
  absl::Mutex mutex_;
  StringSet wanted_;
  int renewals_ = 0;

 private:
  void Do(std::function<void()> work) {
    absl::Notification done;
    boost::asio::post(io_, [&] {
      work();
      done.Notify();
    });
    if (!thread_.joinable()) return;
    done.WaitForNotification();
  }
  void Tick() {
    exchange_->Tick(true);
    ticker_.expires_after(std::chrono::milliseconds(20));
    ticker_.async_wait([this](const boost::system::error_code& error) {
      if (!error) Tick();
    });
  }
  // HubExchange::Owner
  void OnWanted(const std::string& client, bool wanted, bool) override {
    absl::MutexLock lock(&mutex_);
    wanted ? (void)wanted_.insert(client) : (void)wanted_.erase(client);
  }
  void OnExchangeProgress(const std::string&) override {}
  void OnRenewWanted(const std::string&) override {
    absl::MutexLock lock(&mutex_);
    ++renewals_;
  }
  // mqtt::Client::Handler
  void OnConnected(bool session_present, const std::string&) override {
    exchange_->Open(name_, client_.get(), session_present, [this] { return ++packet_id_; });
  }
  void OnPublish(const mqtt::Publish& publish) override { exchange_->OnPublish(name_, publish); }
  void OnSuback(const mqtt::Suback& suback) override { exchange_->OnSuback(name_, suback); }
  void OnClosed(const mqtt::Closed&) override { exchange_->Close(name_); }

  rpc::Channels store_channels_;
  rpc::Channels router_channels_;
  std::unique_ptr<Metrics> metrics_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer ticker_{io_};
  std::unique_ptr<HubExchange> exchange_;
  std::unique_ptr<mqtt::Client> client_;
  std::string name_;
  uint16_t packet_id_ = 0;
  std::thread thread_;
};

constexpr char kDevicebound[] = "devices/dev1/messages/devicebound/";
constexpr char kTwin[] = R"({"desired":{"$version":1},"reported":{"$version":1}})";

// Up to a connection of dev1, which waits for messages from the hub, with its twin in order.
#define CONNECT_DEV1()                                                                                           \
  SetPresence("dev1", true, true, true);                                                                         \
  Start();                                                                                                       \
  ASSERT_TRUE(WaitWanted("dev1", true));                                                                         \
  Connect("dev1");                                                                                               \
  EXPECT_THAT(Grant(), UnorderedElementsAre(kDevicebound + "#"s, "$iothub/methods/POST/#", "$iothub/twin/res/#", \
                                            "$iothub/twin/PATCH/properties/desired/#"));                         \
  AnswerTwin(Rid("$iothub/twin/GET/"), 200, kTwin);                                                              \
  ASSERT_TRUE(WaitTwin("dev1", [](const auto& twin) { return twin.synced_unix_ms() != 0; }))

TEST_F(HubExchangeTest, SubscriptionsFollowWhoIsThere) {
  CONNECT_DEV1();
  SetPresence("dev1", false, true, true);
  const Got got = Next();
  EXPECT_EQ(got.type, mqtt::PacketType::kUnsubscribe);
  EXPECT_THAT(got.filters, testing::ElementsAre(kDevicebound + "#"s));
  store_.key_value().Remove("presence/clients/dev1");
  EXPECT_TRUE(WaitWanted("dev1", false));
  EXPECT_EQ(Next().type, mqtt::PacketType::kUnsubscribe);
  // The store restarts: what is known is still so, and what changes is seen.
  store_.Down();
  store_.Up();
  SetPresence("dev1", true, false, false);
  EXPECT_TRUE(WaitWanted("dev1", true));
}

// P1: what the hub sends is on disk before it is acknowledged.
TEST_F(HubExchangeTest, CloudToDeviceMessageIsAcknowledgedWhenItIsStored) {
  CONNECT_DEV1();
  store_.key_value().SetFull(true);
  Send(kDevicebound + "%24.mid=m1&a=b"s, "on", 5);
  Send(kDevicebound + "%24.mid=m2"s, "off", 6);
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(100))) << "the store is full: it waits";
  store_.key_value().SetFull(false);
  EXPECT_EQ(Next().packet_id, 5);
  EXPECT_EQ(Next().packet_id, 6);
  const auto stored = store_.key_value().appended("inbox/dev1");
  ASSERT_EQ(stored.size(), 2u);
  message::v1::Envelope envelope;
  ASSERT_TRUE(envelope.ParseFromString(stored[0].record));
  EXPECT_EQ(envelope.kind(), message::v1::Envelope::KIND_CLOUD_TO_DEVICE);
  EXPECT_EQ(envelope.property_bag(), "%24.mid=m1&a=b");
  EXPECT_EQ(envelope.body(), "on");
  EXPECT_EQ(envelope.device_id(), "");
  EXPECT_EQ(stored[0].ttl_seconds, 0);
}

// P3: the hub sends again what it has no acknowledgement for.
TEST_F(HubExchangeTest, MessageThatComesAgainIsStoredOnce) {
  CONNECT_DEV1();
  Send(kDevicebound + "%24.mid=m1"s, "on", 5);
  EXPECT_EQ(Next().packet_id, 5);
  store_.key_value().SetFull(true);
  Send(kDevicebound + "%24.mid=m2"s, "off", 6);
  Disconnect();
  Connect("dev1");
  Grant();
  store_.key_value().SetFull(false);
  Rid("$iothub/twin/GET/");
  Send(kDevicebound + "%24.mid=m1"s, "on", 1);
  Send(kDevicebound + "%24.mid=m2"s, "off", 2);
  EXPECT_EQ(Next().packet_id, 1);
  EXPECT_EQ(Next().packet_id, 2);
  EXPECT_EQ(store_.key_value().appended("inbox/dev1").size(), 2u);
}

TEST_F(HubExchangeTest, ExpiryOfAMessageBecomesItsTimeToLive) {
  CONNECT_DEV1();
  const auto bag = [](absl::Duration left) {
    std::string text = "%24.exp=";
    mqtt::AppendPercentEncoded(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now() + left, absl::UTCTimeZone()),
                               &text);
    return kDevicebound + text;
  };
  Send(bag(-absl::Seconds(1)), "late", 5);
  Send(bag(absl::Seconds(100)), "in time", 6);
  Send(kDevicebound, std::string(C2dInbox::kBodyBytesMax + 1, 'x'), 7);
  for (const uint16_t id : {5, 6, 7}) EXPECT_EQ(Next().packet_id, id);
  const auto stored = store_.key_value().appended("inbox/dev1");
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_THAT(stored[0].ttl_seconds, testing::AllOf(testing::Ge(95), testing::Le(100)));
}

// P12: what there is no memory for stays at the hub, and a new connection brings it.
TEST_F(HubExchangeTest, WithoutRoomTheMessagesStayAtTheHub) {
  options_.c2d.bytes_max = 1000;
  CONNECT_DEV1();
  store_.key_value().SetFull(true);
  Send(kDevicebound, std::string(900, 'a'), 5);
  Send(kDevicebound, std::string(900, 'b'), 6);
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(50)));
  store_.key_value().SetFull(false);
  EXPECT_EQ(Next().packet_id, 5);
  EXPECT_TRUE(Wait([this] { return renewals_ == 1; }));
}

TEST_F(HubExchangeTest, MethodsGoToRouterAndTheAnswerComesBack) {
  CONNECT_DEV1();
  Send("$iothub/methods/POST/re%20boot/?$rid=a1", "{\"x\":1}");
  Got answer = Next();
  EXPECT_EQ(answer.topic, "$iothub/methods/res/217/?$rid=a1");
  EXPECT_EQ(answer.payload, "re boot:{\"x\":1}");
  Send("$iothub/methods/POST/late/?$rid=a2", "");
  answer = Next();
  EXPECT_EQ(answer.topic, "$iothub/methods/res/504/?$rid=a2");
  EXPECT_THAT(answer.payload, HasSubstr("no answer"));
}

TEST_F(HubExchangeTest, MethodOfAClientThatIsNotThereIsNotFound) {
  SetPresence("dev2/mod", false, true, false);
  Start();
  ASSERT_TRUE(WaitWanted("dev2/mod", true));
  Connect("dev2/mod");
  EXPECT_THAT(Grant(), testing::SizeIs(3)) << "a module has no cloud-to-device messages";
  Rid("$iothub/twin/GET/");
  Send("$iothub/methods/POST/reboot/?$rid=a1", "");
  EXPECT_EQ(Next().topic, "$iothub/methods/res/404/?$rid=a1");
}

// P12: and nobody waits for what nobody wants any more.
TEST_F(HubExchangeTest, MethodsAreBoundedAndEndWithTheConnection) {
  options_.methods.calls_max = 1;
  CONNECT_DEV1();
  Send("$iothub/methods/POST/slow/?$rid=a1", "");
  Send("$iothub/methods/POST/reboot/?$rid=a2", "");
  EXPECT_EQ(Next().topic, "$iothub/methods/res/429/?$rid=a2");
  for (int i = 0; i < 500 && router_.waiting() == 0; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(router_.waiting(), 1);
  Disconnect();
  for (int i = 0; i < 500 && router_.waiting() > 0; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(router_.waiting(), 0);
}

// P10: both directions, and a gap.
TEST_F(HubExchangeTest, TwinsOfBothSidesBecomeTheSame) {
  CONNECT_DEV1();
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"t":1})"); });
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"t":1})"), 204);
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) { return !twin.has_sending() && twin.pending().empty(); }));

  Send("$iothub/twin/PATCH/properties/desired/?$version=2", R"({"mode":"eco","$version":2})");
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) { return twin.desired_version() == 2; }));
  Send("$iothub/twin/PATCH/properties/desired/?$version=4", R"({"mode":"off","$version":4})");
  AnswerTwin(Rid("$iothub/twin/GET/"), 200,
             R"({"desired":{"mode":"off","rate":3,"$version":4},"reported":{"t":1,"$version":2}})");
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) {
    return twin.desired_version() == 4 && json::parse(twin.desired()) == json{{"mode", "off"}, {"rate", 3}};
  }));
}

// P10: what the hub refuses for good is set aside, and what comes later goes on.
TEST_F(HubExchangeTest, RefusedPatchDoesNotBlockTheNext) {
  CONNECT_DEV1();
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"bad":1})"); });
  const std::string rid = Rid("$iothub/twin/PATCH/properties/reported/", R"({"bad":1})");
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"good":1})"); });
  AnswerTwin(rid, 400);
  const std::string next = Rid("$iothub/twin/PATCH/properties/reported/", R"({"good":1})");
  AnswerTwin(next, 429);
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"good":1})"), 204);
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) {
    return !twin.has_sending() && twin.pending().empty() && twin.refused_total() == 1 &&
           twin.refused_patch() == R"({"bad":1})";
  }));
}

// P10: it reported, and left while there was no hub.
TEST_F(HubExchangeTest, WhatAnAbsentClientReportedIsSentAndTheConnectionIsLetGo) {
  ChangeTwin("dev9", [](auto* twin) {
    twin->set_pending(R"({"last":1})");
    twin->set_synced_unix_ms(absl::ToUnixMillis(absl::Now()));
  });
  Start();
  ASSERT_TRUE(WaitWanted("dev9", true));
  Connect("dev9");
  Grant();
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"last":1})"), 204);
  AnswerTwin(Rid("$iothub/twin/GET/"), 200, kTwin);
  EXPECT_TRUE(WaitWanted("dev9", false));
  EXPECT_TRUE(WaitTwin("dev9", [](const auto& twin) { return twin.desired_version() == 1; }));
}

// A patch that was on its way when the connection broke goes first, unchanged.
TEST_F(HubExchangeTest, WhatWasBeingSentIsSentAgainUnchanged) {
  CONNECT_DEV1();
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"a":1})"); });
  Rid("$iothub/twin/PATCH/properties/reported/", R"({"a":1})");
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"b":1})"); });
  Disconnect();
  Connect("dev1");
  Grant();
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"a":1})"), 204);
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"b":1})"), 204);
  Rid("$iothub/twin/GET/");
}

// P12: a refused subscription is a trouble, not a loop.
TEST_F(HubExchangeTest, RefusedSubscriptionIsTold) {
  SetPresence("dev1", false, true, false);
  Start();
  ASSERT_TRUE(WaitWanted("dev1", true));
  Connect("dev1");
  const Got got = Next();
  std::string out;
  mqtt::AppendSuback(got.packet_id, "\x80\x01\x01"s, &out);
  ASSERT_TRUE(hub_.Send(out).ok());
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(50)));
}

}  // namespace
}  // namespace holdfast::uplink
