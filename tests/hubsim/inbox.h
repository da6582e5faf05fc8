#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::hubsim {

// Limits of cloud-to-device messages (IoT Hub contract: cloud-to-device).
inline constexpr size_t kInboxMessagesMax = 50;
inline constexpr size_t kInboxMessageBytesMax = 64 << 10;
inline constexpr int64_t kInboxTtlSecondsDefault = 3600;
inline constexpr int64_t kInboxTtlSecondsMax = 172'800;

struct CloudMessage {
  std::string message_id;
  std::string bag;  // system and application properties, encoded
  std::string payload;
  absl::Time expires;
  uint32_t deliveries = 0;
  uint16_t packet_id = 0;  // 0: not on its way
};

// A message for `device_id` from the body of POST /c2d (README.md, "Control"). INVALID_ARGUMENT.
absl::StatusOr<CloudMessage> CloudMessageFromJson(const nlohmann::json& body, std::string_view device_id,
                                                  absl::Time now);

// What waits for one device, in order, until it says that it has it. Not thread-safe.
class Inbox {
 public:
  // RESOURCE_EXHAUSTED if it is full; what has expired makes room.
  absl::Status Add(CloudMessage message, absl::Time now);

  // Calls `send` for each message that is not on its way, in order; it returns the packet identifier, or 0 if the
  // message needs no acknowledgement and is done.
  void Deliver(absl::Time now, const std::function<uint16_t(const CloudMessage&)>& send);
  // False: no such message is on its way.
  bool Complete(uint16_t packet_id);
  // The connection is gone: everything is to be sent again.
  void Abandon();

  bool IsOnItsWay(uint16_t packet_id) const;
  size_t size() const { return messages_.size(); }
  const std::deque<CloudMessage>& messages() const { return messages_; }

 private:
  void DropExpired(absl::Time now);

  std::deque<CloudMessage> messages_;
};

}  // namespace holdfast::hubsim
