#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"

namespace holdfast::systest {

// A TCP connection on 127.0.0.1 that carries MQTT packets: bytes out as given, packets in one by one. Not thread-safe.
class MqttStream {
 public:
  // !open() if nobody listens there.
  static MqttStream Connect(int port);
  MqttStream() = default;
  explicit MqttStream(UniqueFd fd) : fd_(std::move(fd)) {}

  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  void Close() { fd_ = UniqueFd(); }

  // Sends everything, waiting as long as it takes up to `timeout`; false (and closed) if the peer is gone or does not
  // read.
  bool Send(std::string_view bytes, absl::Duration timeout = absl::Seconds(10));

  enum class Result { kPacket, kTimeout, kClosed };
  // The next whole packet. *frame is valid until the next call.
  Result Read(mqtt::Frame* frame, absl::Duration timeout);

  // Sends a CONNECT and waits for its answer. nullopt: closed, or no answer in time.
  std::optional<mqtt::ConnackCode> Login(const mqtt::Connect& connect, absl::Duration timeout = absl::Seconds(10));

 private:
  UniqueFd fd_;
  std::string buffer_;
  size_t consumed_ = 0;
};

}  // namespace holdfast::systest
