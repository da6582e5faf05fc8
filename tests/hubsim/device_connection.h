// One device's or module's MQTT connection, from the TLS handshake to its end. Included by the endpoint's .cc files
// only, since Asio's templates are dear.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/mqtt/packet.h"
#include "tests/hubsim/device_topics.h"
#include "tests/hubsim/hub_state.h"

namespace holdfast::hubsim {

class DeviceEndpoint;

// Limits of a connection. What does not keep to one is closed.
inline constexpr size_t kDevicePacketBytesMax = 272 << 10;
inline constexpr size_t kMessageBytesMax = 256 << 10;  // body and properties
inline constexpr size_t kDeviceOutputBytesMax = 16 << 20;
inline constexpr size_t kDelayedAcksMax = 65'535;
inline constexpr int kKeepAliveSecondsMax = 1767;

// The coroutine that runs it keeps it alive. Not thread-safe.
class DeviceConnection : public std::enable_shared_from_this<DeviceConnection> {
 public:
  DeviceConnection(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context& tls, DeviceEndpoint& endpoint,
                   uint64_t id);
  ~DeviceConnection();

  boost::asio::awaitable<void> Run();

  // At once; what was not written is lost. `reason` is one word or two, for the counters.
  void Close(std::string_view reason, bool reset = false);
  // PUBLISH to the client, at `qos` but no more than it subscribed with. The identifier is 0 for QoS 0.
  void Send(std::string_view topic, std::string_view payload, uint8_t qos, uint16_t packet_id, bool dup);
  void Flush();
  // The table of faults has changed.
  void OnFaults();

  bool connected() const { return sender_ != nullptr; }
  // Only if connected.
  const Sender& sender() const { return *sender_; }
  const Claim& claim() const { return claim_; }
  const DeviceTopics& topics() const { return *topics_; }
  uint64_t id() const { return id_; }
  uint64_t messages() const { return messages_; }
  size_t unsent() const { return out_.size() + writing_.size(); }
  absl::Time since() const { return since_; }
  const std::string& peer() const { return peer_; }
  // Ends the connection when its credential does.
  void SetEnd(absl::Time until);

 private:
  // How a connection ends after the output is written.
  enum class End : uint8_t { kNot, kClose, kReset };

  boost::asio::awaitable<bool> Read();
  boost::asio::awaitable<void> Thaw();
  bool Frozen() const;
  bool TakeConnect();
  mqtt::ConnackCode Judge(const mqtt::Connect& connect, std::string* why);
  void Refuse(mqtt::ConnackCode code, std::string_view why);
  // All packets in the buffer. False: the connection is over, or ends with the output.
  bool Consume();
  bool OnPacket(const mqtt::Frame& frame);
  bool OnPublish(const mqtt::Frame& frame);
  bool OnTelemetry(const mqtt::Publish& publish, const Topic& topic);
  bool OnSubscribe(const mqtt::Frame& frame);
  bool OnUnsubscribe(const mqtt::Frame& frame);
  bool Broken(std::string_view why);
  void Ack(uint16_t packet_id);
  int64_t AckDueUs();
  void SendDueAcks();
  void PublishWill();
  void StartWrite();
  void Linger();
  void WatchKeepAlive();
  void SetConnectDeadline();
  std::vector<std::string> ClientCertificates();

  DeviceEndpoint& endpoint_;
  HubState& state_;
  const uint64_t id_;
  std::string peer_;
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::asio::steady_timer deadline_;  // CONNECT's, then the credential's
  boost::asio::steady_timer keep_alive_;
  boost::asio::steady_timer ack_timer_;
  boost::asio::steady_timer gate_;  // while frozen

  bool closed_ = false;
  End end_ = End::kNot;
  std::string end_reason_;
  Claim claim_;
  std::shared_ptr<const Sender> sender_;
  std::optional<DeviceTopics> topics_;
  absl::Time since_;
  uint64_t messages_ = 0;
  int keep_alive_seconds_ = 0;
  std::chrono::steady_clock::time_point last_read_;
  std::string will_topic_;
  std::string will_body_;
  size_t will_bag_at_ = 0;

  std::string in_;
  size_t in_size_ = 0;
  std::string out_;
  std::string writing_;
  bool write_active_ = false;
  struct DelayedAck {
    int64_t due_us = 0;
    uint16_t packet_id = 0;
  };
  std::deque<DelayedAck> delayed_acks_;
};

}  // namespace holdfast::hubsim
