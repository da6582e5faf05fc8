// Writes holdfast.message.v1.Envelope in protobuf's wire format straight into a block: at telemetry rates a message
// object per PUBLISH would cost more than everything else that the router does with it. A test holds it against the
// generated parser.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/iothub/user_name.h"

namespace holdfast::router {

using iothub::Identity;

// As in message.proto.
enum class EnvelopeKind : uint8_t { kTelemetry = 0, kWill = 1, kCloudToDevice = 2, kTwinChange = 3 };

// What changes from message to message, and from copy to copy.
struct EnvelopeFields {
  EnvelopeKind kind = EnvelopeKind::kTelemetry;
  std::string_view property_bag;
  std::string_view body;
  int64_t received_unix_ms = 0;
  bool retain = false;
  // 0 = none.
  uint16_t packet_id = 0;
  std::string_view input_name;
  uint32_t hops = 0;
};

// Immutable, thread-safe.
class EnvelopeWriter {
 public:
  // `on_behalf`: a child gateway speaks for the sender.
  explicit EnvelopeWriter(const Identity& sender, bool on_behalf = false);

  size_t Size(const EnvelopeFields& fields) const;
  // Writes exactly Size(fields) bytes.
  void Write(const EnvelopeFields& fields, char* out) const;

 private:
  // Fields device_id, module_id and on_behalf, encoded.
  std::string sender_;
};

}  // namespace holdfast::router
