#include "lib/mqtt/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "lib/testing/scripted_peer.h"

namespace holdfast::mqtt {
namespace {

using std::string_literals::operator""s;
using testing::ElementsAre;

constexpr char kConnack[] = "\x20\x02\x00\x00";

// Runs the client on a thread and keeps what it told.
class ClientTest : public testing::Test, public Client::Handler {
 protected:
  ClientTest() {
    options_.host = "127.0.0.1";
    options_.port = peer_.port();
    options_.client_id = "c";
  }
  ~ClientTest() override {
    boost::asio::post(io_, [this] { client_.reset(); });
    thread_.join();
  }

  void Start() {
    client_ = std::make_unique<Client>(io_, options_, this);
    client_->Start();
    thread_ = std::thread([this] { io_.run(); });
  }
  void Connect() {
    Start();
    ASSERT_TRUE(peer_.Accept().ok());
    ASSERT_TRUE(peer_
                    .Expect("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01"
                            "c"s)
                    .ok());
    ASSERT_TRUE(peer_.Send({kConnack, 4}).ok());
    ASSERT_TRUE(Wait([this] { return connected_; }));
  }
  void Post(std::function<void()> work) { boost::asio::post(io_, std::move(work)); }

  template <typename F>
  bool Wait(F done) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&done), absl::Seconds(10));
  }
  Closed WaitClosed() {
    EXPECT_TRUE(Wait([this] { return closed_.has_value(); }));
    absl::MutexLock lock(&mutex_);
    return closed_.value_or(Closed{});
  }

  void OnConnected(bool, const std::string& address) override {
    absl::MutexLock lock(&mutex_);
    connected_ = true;
    address_ = address;
  }
  void OnPubacks(std::span<const uint16_t> ids) override {
    absl::MutexLock lock(&mutex_);
    ++batches_;
    acks_.insert(acks_.end(), ids.begin(), ids.end());
  }
  void OnPublish(const Publish& publish) override {
    if (defer_) client_->DeferAck();
    absl::MutexLock lock(&mutex_);
    payloads_.emplace_back(publish.payload);
  }
  void OnPingresp() override {
    absl::MutexLock lock(&mutex_);
    ++pongs_;
  }
  void OnClosed(const Closed& closed) override {
    absl::MutexLock lock(&mutex_);
    closed_ = closed;
  }

  ScriptedPeer peer_;
  Client::Options options_;
  boost::asio::io_context io_;
  std::unique_ptr<Client> client_;
  std::thread thread_;
  bool defer_ = false;

  absl::Mutex mutex_;
  bool connected_ = false;
  std::string address_;
  std::vector<uint16_t> acks_;
  int batches_ = 0;
  int pongs_ = 0;
  std::vector<std::string> payloads_;
  std::optional<Closed> closed_;
};

TEST_F(ClientTest, GathersPacketsAndDeliversAcknowledgementsInBatches) {
  Connect();
  Post([this] {
    for (uint16_t id = 1; id <= 3; ++id)
      AppendPublish({.topic = "t", .payload = "p", .packet_id = id, .qos = 1}, client_->out());
    client_->Flush();
  });
  for (char id = 1; id <= 3; ++id) ASSERT_TRUE(peer_.Expect("\x32\x06\x00\x01t\x00"s + id + "p").ok());
  ASSERT_TRUE(peer_.Send("\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00"s).ok());
  EXPECT_TRUE(Wait([this] { return acks_.size() == 2; }));
  ASSERT_TRUE(peer_.Send("\x03").ok());
  EXPECT_TRUE(Wait([this] { return acks_.size() == 3; }));
  absl::MutexLock lock(&mutex_);
  EXPECT_THAT(acks_, ElementsAre(1, 2, 3));
  EXPECT_EQ(batches_, 2);
  EXPECT_EQ(address_, "127.0.0.1");
}

TEST_F(ClientTest, AcknowledgesWhatItReceives) {
  Connect();
  ASSERT_TRUE(peer_.Send("\x32\x07\x00\x01t\x00\x09hi\x30\x04\x00\x01tx"s).ok());
  ASSERT_TRUE(peer_.Expect("\x40\x02\x00\x09"s).ok());
  EXPECT_TRUE(Wait([this] { return payloads_.size() == 2; }));
}

// P1: what must be stored first is acknowledged when the caller says so, and nothing else waits for it.
TEST_F(ClientTest, DeferredAcknowledgementIsSentWhenTheCallerSaysSo) {
  defer_ = true;
  Connect();
  ASSERT_TRUE(peer_.Send("\x32\x07\x00\x01t\x00\x09hi"s).ok());
  ASSERT_TRUE(Wait([this] { return payloads_.size() == 1; }));
  EXPECT_TRUE(peer_.Quiet(absl::Milliseconds(50)));
  Post([this] {
    defer_ = false;
    client_->Ack(9);
  });
  ASSERT_TRUE(peer_.Expect("\x40\x02\x00\x09"s).ok());
  ASSERT_TRUE(peer_.Send("\x32\x07\x00\x01t\x00\x0ahi"s).ok());
  EXPECT_TRUE(peer_.Expect("\x40\x02\x00\x0a"s).ok()) << "the next one is acknowledged by itself again";
  Post([this] {
    client_->Close();
    client_->Ack(11);
  });
  EXPECT_TRUE(peer_.Expect("\xe0\x00"s).ok()) << "nothing behind DISCONNECT";
  EXPECT_TRUE(peer_.ExpectClosed().ok());
}

TEST_F(ClientTest, LoginRefused) {
  Start();
  ASSERT_TRUE(peer_.Accept().ok());
  ASSERT_TRUE(peer_.ReadPacket().ok());
  ASSERT_TRUE(peer_.Send("\x20\x02\x00\x05"s).ok());
  const Closed closed = WaitClosed();
  EXPECT_EQ(closed.reason, CloseReason::kRefused);
  EXPECT_EQ(closed.code, ConnackCode::kNotAuthorized);
  EXPECT_EQ(closed.stage, Stage::kLogin);
}

TEST_F(ClientTest, ConnectionRefused) {
  peer_.StopListening();
  Start();
  const Closed closed = WaitClosed();
  EXPECT_EQ(closed.reason, CloseReason::kUnreachable);
  EXPECT_THAT(std::string(closed.status.message()), testing::HasSubstr("Connection refused"));
}

TEST_F(ClientTest, TriesTheNextAddress) {
  options_.addresses = {"127.0.0.99", "127.0.0.1"};
  Connect();
}

// Each step has a deadline.
TEST_F(ClientTest, NoConnackInTime) {
  options_.connack_timeout = std::chrono::milliseconds(100);
  Start();
  ASSERT_TRUE(peer_.Accept().ok());
  EXPECT_EQ(WaitClosed().reason, CloseReason::kSilent);
}

TEST_F(ClientTest, NoTlsAnswerInTime) {
  options_.tls = true;
  options_.tls_timeout = std::chrono::milliseconds(100);
  Start();
  ASSERT_TRUE(peer_.Accept().ok());
  const Closed closed = WaitClosed();
  EXPECT_EQ(closed.reason, CloseReason::kSilent);
  EXPECT_EQ(closed.stage, Stage::kTls);
}

TEST_F(ClientTest, PingsWhenIdleAndEndsWithoutAnswer) {
  options_.keep_alive = std::chrono::seconds(1);
  options_.ping_timeout = std::chrono::milliseconds(300);
  Start();
  ASSERT_TRUE(peer_.Accept().ok());
  ASSERT_TRUE(peer_.ReadPacket().ok());
  ASSERT_TRUE(peer_.Send({kConnack, 4}).ok());
  ASSERT_TRUE(peer_.Expect("\xc0\x00"s).ok());
  ASSERT_TRUE(peer_.Send("\xd0\x00"s).ok());
  EXPECT_TRUE(Wait([this] { return pongs_ == 1; }));
  ASSERT_TRUE(peer_.Expect("\xc0\x00"s).ok());
  EXPECT_EQ(WaitClosed().reason, CloseReason::kKeepAlive);
}

TEST_F(ClientTest, PeerThatBreaksTheProtocolIsLeft) {
  Connect();
  ASSERT_TRUE(peer_.Send("\x40\x02\x00\x00"s).ok());
  EXPECT_EQ(WaitClosed().reason, CloseReason::kProtocol);
  EXPECT_TRUE(peer_.ExpectClosed().ok());
}

TEST_F(ClientTest, PacketOverTheLimitIsRefused) {
  options_.packet_bytes_max = 1000;
  Connect();
  ASSERT_TRUE(peer_.Send("\x30\xff\x7f"s).ok());
  EXPECT_EQ(WaitClosed().reason, CloseReason::kProtocol);
}

TEST_F(ClientTest, CloseWritesWhatIsPendingAndSaysGoodbye) {
  Connect();
  Post([this] {
    AppendPublish({.topic = "t", .payload = "last"}, client_->out());
    client_->Close();
  });
  ASSERT_TRUE(peer_.Expect("\x30\x07\x00\x01tlast\xe0\x00"s).ok());
  EXPECT_TRUE(peer_.ExpectClosed().ok());
  EXPECT_EQ(WaitClosed().reason, CloseReason::kLocal);
}

TEST_F(ClientTest, DeletedClientIsSilent) {
  Connect();
  Post([this] { client_.reset(); });
  EXPECT_TRUE(peer_.ExpectClosed().ok());
  absl::MutexLock lock(&mutex_);
  EXPECT_FALSE(closed_);
}

TEST(CheckTlsFiles, NamesTheFile) {
  const absl::Status status = CheckTlsFiles({.ca_file = "/nowhere/ca.pem"});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("/nowhere/ca.pem"));
}

}  // namespace
}  // namespace holdfast::mqtt
