// holdfast.message.v1.Envelope as views into its bytes: what parsing with the generated class would cost in allocations
// is most of what a message may cost here.
#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast {

struct EnvelopeView {
  uint64_t kind = 0;
  std::string_view device_id;
  std::string_view module_id;
  std::string_view property_bag;
  std::string_view body;
  int64_t received_unix_ms = 0;
  bool retain = false;
  std::string_view input_name;
  uint64_t hops = 0;
  bool on_behalf = false;
};

// False if `bytes` is no Envelope in protobuf's wire format. Unknown fields are skipped, the last of a repeated field
// counts, as with the generated class. Views are valid as long as `bytes`.
bool ParseEnvelope(std::string_view bytes, EnvelopeView* out);

}  // namespace holdfast
