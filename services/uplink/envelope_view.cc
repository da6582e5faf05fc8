#include "services/uplink/envelope_view.h"

namespace holdfast::uplink {
namespace {

// Wire types of protobuf.
enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

bool TakeVarint(std::string_view* in, uint64_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < 10 && i < in->size(); ++i) {
    const auto byte = static_cast<uint8_t>((*in)[i]);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      in->remove_prefix(i + 1);
      *value = result;
      return true;
    }
  }
  return false;
}

bool TakeBytes(std::string_view* in, std::string_view* value) {
  uint64_t size = 0;
  if (!TakeVarint(in, &size) || size > in->size()) return false;
  *value = in->substr(0, size);
  in->remove_prefix(size);
  return true;
}

bool Skip(uint64_t wire_type, std::string_view* in) {
  uint64_t number = 0;
  std::string_view bytes;
  const size_t fixed = wire_type == kFixed64 ? 8 : 4;
  switch (wire_type) {
    case kVarint:
      return TakeVarint(in, &number);
    case kBytes:
      return TakeBytes(in, &bytes);
    case kFixed64:
    case kFixed32:
      if (in->size() < fixed) return false;
      in->remove_prefix(fixed);
      return true;
    default:
      return false;
  }
}

}  // namespace

bool ParseEnvelope(std::string_view in, EnvelopeView* out) {
  *out = {};
  while (!in.empty()) {
    uint64_t tag = 0;
    uint64_t number = 0;
    if (!TakeVarint(&in, &tag)) return false;
    const uint64_t field = tag >> 3;
    const uint64_t type = tag & 7;
    if (field == 0) return false;
    bool ok = true;
    if (type == kBytes && field >= 2 && field <= 5) {
      std::string_view* const to = field == 2   ? &out->device_id
                                   : field == 3 ? &out->module_id
                                   : field == 4 ? &out->property_bag
                                                : &out->body;
      ok = TakeBytes(&in, to);
    } else if (type == kVarint && (field == 1 || field == 6 || field == 7)) {
      ok = TakeVarint(&in, &number);
      if (field == 1) out->kind = number;
      if (field == 6) out->received_unix_ms = static_cast<int64_t>(number);
      if (field == 7) out->retain = number != 0;
    } else {
      ok = Skip(type, &in);
    }
    if (!ok) return false;
  }
  return !out->device_id.empty();
}

}  // namespace holdfast::uplink
