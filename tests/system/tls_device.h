#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/mqtt/client.h"
#include "tests/system/hubsim.h"

namespace holdfast::systest {

// What `id` ("device" or "device/module") needs to log in at the hub: with its own key, or, given a chain
// ("leaf;edge"), with the key of the $edgeHub at the chain's end.
mqtt::Client::Options HubLogin(const Hubsim& hub, const std::string& id, const std::string& chain = "",
                               int token_seconds = 3600);

// A device on a connection of its own, over TLS, that does what the test says and no more: no reconnect. Runs a thread
// of its own; all methods are thread-safe.
class TlsDevice {
 public:
  struct Message {
    std::string topic;
    std::string payload;
  };

  // Connects.
  explicit TlsDevice(mqtt::Client::Options options);
  ~TlsDevice();

  // True once CONNACK 0 came; false if it was refused or closed, or nothing came.
  bool WaitConnected(absl::Duration timeout = absl::Seconds(20));
  // The CONNACK of a refusal.
  std::optional<mqtt::ConnackCode> refused() const;
  bool WaitClosed(absl::Duration timeout = absl::Seconds(20)) const;

  // PUBLISH. Identifiers of QoS 1 count up from 1.
  void Publish(const std::string& topic, const std::string& payload, uint8_t qos = 1);
  // `count` messages of QoS 1 with the payloads of publishers (delivery.h), in one go.
  void PublishMany(const std::string& topic, const std::string& device, uint64_t count, size_t payload_bytes = 64);
  // Returns when the SUBACK is there: its codes.
  std::string Subscribe(const std::vector<std::string>& filters, uint8_t qos = 1);

  uint64_t acknowledged() const;
  bool WaitForAcks(uint64_t count, absl::Duration timeout = absl::Seconds(20)) const;
  // PUBACKs came in the order of the PUBLISHes, so far.
  bool acks_in_order() const;

  std::vector<Message> received() const;
  // The n-th message (from 0) that came, or nothing.
  std::optional<Message> WaitForMessage(size_t index, absl::Duration timeout = absl::Seconds(20)) const;

 private:
  class Inside;
  const std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::systest
