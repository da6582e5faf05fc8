// Uplink with a real mosquitto as the hub: plain, and over TLS with a client certificate, user and password; mosquitto
// killed and started again in mid-flow. Skipped where mosquitto is not installed.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fstream>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "lib/config/config.h"
#include "lib/testing/scripted_peer.h"
#include "lib/testing/temp_dir.h"
#include "services/uplink/fake_store.h"
#include "services/uplink/uplink_options.h"

extern char** environ;

namespace holdfast::uplink {
namespace {

constexpr char kMosquitto[] = "/usr/sbin/mosquitto";

uint16_t FreePort() {
  return ScriptedPeer().port();
}

// Subscribes to everything and keeps the payloads in the order of their arrival; comes back when the broker does.
class Subscriber final : public mqtt::Client::Handler {
 public:
  explicit Subscriber(mqtt::Client::Options options) : options_(std::move(options)) {
    options_.client_id = "subscriber";
    Connect();
    thread_ = std::thread([this] { io_.run(); });
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&subscribed_), absl::Seconds(20));
  }
  ~Subscriber() override {
    boost::asio::post(io_, [this] {
      stopping_ = true;
      client_.reset();
    });
    thread_.join();
  }
  // Distinct payloads, in the order of their first arrival.
  bool WaitFor(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return payloads_.size() >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(30));
  }
  std::vector<std::string> payloads() {
    absl::MutexLock lock(&mutex_);
    return payloads_;
  }

 private:
  void Connect() {
    client_ = std::make_unique<mqtt::Client>(io_, options_, this);
    client_->Start();
  }
  void OnConnected(bool, const std::string&) override {
    mqtt::AppendSubscribe(1, {{"#", 1}}, client_->out());
    client_->Flush();
  }
  void OnSuback(const mqtt::Suback&) override {
    absl::MutexLock lock(&mutex_);
    subscribed_ = true;
  }
  void OnPublish(const mqtt::Publish& publish) override {
    absl::MutexLock lock(&mutex_);
    payloads_.emplace_back(publish.payload);
  }
  void OnClosed(const mqtt::Closed& closed) override {
    if (!stopping_) Connect();
  }

  mqtt::Client::Options options_;
  boost::asio::io_context io_;
  std::unique_ptr<mqtt::Client> client_;
  std::thread thread_;
  bool stopping_ = false;
  absl::Mutex mutex_;
  bool subscribed_ = false;
  std::vector<std::string> payloads_;
};

class MosquittoTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::access(kMosquitto, X_OK) != 0) GTEST_SKIP() << "NOT RUN: " << kMosquitto << " is not installed";
  }
  void TearDown() override { Kill(); }

  void StartBroker(const std::string& config) {
    std::ofstream(dir_ / "mosquitto.conf") << config << "max_inflight_messages 0\nmax_queued_messages 0\n";
    StartBroker();
  }
  void StartBroker() {
    const std::string file = dir_ / "mosquitto.conf";
    const char* const argv[] = {kMosquitto, "-c", file.c_str(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, (dir_ / "mosquitto.log").c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    ASSERT_EQ(posix_spawn(&pid_, kMosquitto, &actions, nullptr, const_cast<char**>(argv), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void StartUplink(const std::string& config) {
    std::ofstream(dir_ / "holdfast.toml") << "[uplink]\n" << config;
    const auto file = ConfigFile::Load(dir_ / "holdfast.toml");
    ASSERT_TRUE(file.ok()) << file.status();
    auto options = ReadUplinkOptions(**file, {});
    ASSERT_TRUE(options.ok()) << options.status();
    client_options_ = options->uplink.link.client;
    subscriber_ = std::make_unique<Subscriber>(client_options_);
    uplink_ = std::make_unique<Uplink>(options->uplink, *TopicTemplate::Create(kDeviceTopic, kModuleTopic), &channels_,
                                       metrics_.get(), *Clock::System());
    uplink_->Start();
  }
  void Shell(const std::string& command) {
    ASSERT_EQ(std::system(("cd " + dir_.path() + " && (" + command + ") >>shell.log 2>&1").c_str()), 0) << command;
  }

  TempDir dir_;
  FakeStore store_{dir_.path()};
  rpc::Channels channels_{dir_.path(), "store"};
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  pid_t pid_ = -1;
  mqtt::Client::Options client_options_;
  std::unique_ptr<Subscriber> subscriber_;
  std::unique_ptr<Uplink> uplink_;
};

// P2, P3: order over a kill of the broker; nothing is lost of what it had not acknowledged.
TEST_F(MosquittoTest, KilledInMidFlow) {
  constexpr int kMessages = 20'000;
  const uint16_t port = FreePort();
  StartBroker(fmt::format("listener {} 127.0.0.1\nallow_anonymous true\n", port));
  for (int i = 0; i < kMessages / 2; i += 500) store_.AppendMessages(500);
  StartUplink(fmt::format("upstream = \"mqtt://127.0.0.1:{}\"\ninflight_count_max = 512\n", port));
  ASSERT_TRUE(store_.WaitCommitted(2'000));
  Kill();
  for (int i = 0; i < kMessages / 2; i += 500) store_.AppendMessages(500);
  StartBroker();
  EXPECT_TRUE(store_.WaitCommitted(kMessages, absl::Seconds(60)));
  EXPECT_GE(uplink_->GetStatus().connects, 2u);
  // Mosquitto keeps nothing over a kill, so that only the order of what was seen is looked at.
  int last = -1;
  int repeated = 0;
  for (const std::string& payload : subscriber_->payloads()) {
    const int n = std::stoi(payload);
    if (n <= last) ++repeated;
    last = std::max(last, n);
  }
  EXPECT_LE(repeated, 512);
}

TEST_F(MosquittoTest, TlsWithClientCertificateAndPassword) {
  const uint16_t port = FreePort();
  Shell(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 "
      "-subj /CN=ca && "
      "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout hub.key -out hub.csr -subj "
      "/CN=localhost && "
      "printf 'subjectAltName=DNS:localhost' > san && "
      "openssl x509 -req -in hub.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out hub.pem && "
      "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout gw.key -out gw.csr -subj /CN=gw && "
      "openssl x509 -req -in gw.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out gw.pem && "
      "mosquitto_passwd -c -b users gw secret && chmod 644 users && printf 'secret\\n' > password && chmod -R a+rX . "
      "&& "
      "chmod 644 *.key");
  StartBroker(
      fmt::format("listener {} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\nkeyfile {}\n"
                  "require_certificate true\n",
                  port, dir_ / "users", dir_ / "ca.pem", dir_ / "hub.pem", dir_ / "hub.key"));
  store_.AppendMessages(1000);
  StartUplink(
      fmt::format("upstream = \"mqtts://localhost:{}\"\nca_file = \"{}\"\nclient_cert_file = \"{}\"\n"
                  "client_key_file = \"{}\"\nusername = \"gw\"\npassword_file = \"{}\"\n",
                  port, dir_ / "ca.pem", dir_ / "gw.pem", dir_ / "gw.key", dir_ / "password"));
  EXPECT_TRUE(store_.WaitCommitted(1000));
  ASSERT_TRUE(subscriber_->WaitFor(1000));
  const auto payloads = subscriber_->payloads();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(payloads[static_cast<size_t>(i)], std::to_string(i));
  EXPECT_EQ(store_.value(kAddressKey), "localhost 127.0.0.1");
}

// A certificate for another name is refused, and said.
TEST_F(MosquittoTest, CertificateOfAnotherNameIsRefused) {
  const uint16_t port = FreePort();
  Shell(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout hub.key -out hub.pem -days 2 "
      "-subj /CN=other -addext subjectAltName=DNS:other.example && chmod -R a+rX . && chmod 644 hub.key");
  StartBroker(fmt::format("listener {} 127.0.0.1\nallow_anonymous true\ncertfile {}\nkeyfile {}\n", port,
                          dir_ / "hub.pem", dir_ / "hub.key"));
  store_.AppendMessages(1);
  std::ofstream(dir_ / "holdfast.toml") << fmt::format(
      "[uplink]\nupstream = \"mqtts://localhost:{}\"\nca_file = \"{}\"\n", port, dir_ / "hub.pem");
  const auto file = ConfigFile::Load(dir_ / "holdfast.toml");
  auto options = ReadUplinkOptions(**file, {});
  ASSERT_TRUE(options.ok()) << options.status();
  Uplink uplink(options->uplink, *TopicTemplate::Create(kDeviceTopic, kModuleTopic), &channels_, metrics_.get(),
                *Clock::System());
  uplink.Start();
  Uplink::Status status;
  for (int i = 0; i < 1000; ++i) {
    status = uplink.GetStatus();
    if (status.reason.find("certificate verify failed") != std::string::npos) break;
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_NE(status.reason.find("certificate verify failed"), std::string::npos) << status.reason;
  EXPECT_EQ(store_.committed(), 0u);
}

}  // namespace
}  // namespace holdfast::uplink
