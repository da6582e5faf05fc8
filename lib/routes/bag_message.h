// A message as it came by MQTT: body, identity of the sender and property bag as received, looked at in place. Values
// with percent escapes are decoded into a buffer of the object, others are views of the bag.
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <string_view>

#include "lib/routes/message.h"

namespace holdfast::routes {

// Where the parts of a BagMessage come from; views that must outlive it.
struct BagMessageParts {
  std::string_view device_id;
  // Empty for a device.
  std::string_view module_id;
  // The bag as the sender wrote it, well formed (mqtt::CheckBag). `$.on` in it makes the source of a module's message.
  std::string_view property_bag;
  std::string_view body;
  // Wall clock at arrival, milliseconds since 1970-01-01 UTC: `$enqueuedTime`, unless the bag has a `$.ctime` for
  // `$creationTime`.
  int64_t received_unix_ms = 0;
  // The source is /twinChangeNotifications/, whatever the bag says.
  bool twin_change = false;
  // The PUBLISH had its RETAIN flag set: application property mqtt-retain is "true" (A7).
  bool retain = false;
  // It is a will: application property iothub-MessageType is "Will".
  bool will = false;
};

// Not thread-safe. No heap allocation as long as decoded values and source fit kInlineBytes.
class BagMessage : public Message {
 public:
  static constexpr size_t kInlineBytes = 1024;

  explicit BagMessage(const BagMessageParts& parts);
  BagMessage(const BagMessage&) = delete;
  BagMessage& operator=(const BagMessage&) = delete;

  std::string_view source() const override { return source_; }
  Property ApplicationProperty(std::string_view key) const override;
  Property SystemProperty(std::string_view name) const override;
  std::string_view body() const override { return parts_.body; }

 private:
  // The value of the bag's pair whose key decodes to `key`, letter case ignored.
  Property Find(std::string_view key) const;
  Property EnqueuedTime() const;
  std::string_view Decoded(std::string_view encoded) const;

  const BagMessageParts parts_;
  mutable std::array<std::byte, kInlineBytes> inline_;
  mutable std::pmr::monotonic_buffer_resource memory_{inline_.data(), inline_.size()};
  std::string_view source_;
};

}  // namespace holdfast::routes
