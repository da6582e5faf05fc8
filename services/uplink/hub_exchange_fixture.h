// For tests of HubExchange: a store in memory, a router that answers as it is told, and a scripted hub on the
// connection.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/mqtt/packet.h"
#include "lib/testing/scripted_peer.h"
#include "lib/testing/temp_dir.h"
#include "services/uplink/fake_store.h"
#include "services/uplink/hub_exchange.h"

namespace holdfast::uplink {

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
    ASSERT_TRUE(hub_.Send(std::string("\x20\x02\x00\x00", 4)).ok());
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
    EXPECT_THAT(got.topic, testing::StartsWith(topic_start));
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

inline constexpr char kDevicebound[] = "devices/dev1/messages/devicebound/";
inline constexpr char kTwin[] = R"({"desired":{"$version":1},"reported":{"$version":1}})";

// Up to a connection of dev1, which waits for messages from the hub, with its twin in order.
#define CONNECT_DEV1()                                                                                         \
  SetPresence("dev1", true, true, true);                                                                       \
  Start();                                                                                                     \
  ASSERT_TRUE(WaitWanted("dev1", true));                                                                       \
  Connect("dev1");                                                                                             \
  EXPECT_THAT(Grant(),                                                                                         \
              testing::UnorderedElementsAre(std::string(kDevicebound) + "#", "$iothub/methods/POST/#",         \
                                            "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#")); \
  AnswerTwin(Rid("$iothub/twin/GET/"), 200, kTwin);                                                            \
  ASSERT_TRUE(WaitTwin("dev1", [](const auto& twin) { return twin.synced_unix_ms() != 0; }))

}  // namespace holdfast::uplink
