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

// What changes from message to message.
struct EnvelopeFields {
  bool is_will = false;
  std::string_view property_bag;
  std::string_view body;
  int64_t received_unix_ms = 0;
  bool retain = false;
  // 0 = none.
  uint16_t packet_id = 0;
};

// Immutable, thread-safe.
class EnvelopeWriter {
 public:
  explicit EnvelopeWriter(const Identity& sender);

  size_t Size(const EnvelopeFields& fields) const;
  // Writes exactly Size(fields) bytes.
  void Write(const EnvelopeFields& fields, char* out) const;

 private:
  // Fields device_id and module_id, encoded.
  std::string sender_;
};

}  // namespace holdfast::router
