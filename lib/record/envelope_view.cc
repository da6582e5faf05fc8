#include "lib/record/envelope_view.h"

namespace holdfast {
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

std::string_view* BytesField(uint64_t field, EnvelopeView* out) {
  switch (field) {
    case 2:
      return &out->device_id;
    case 3:
      return &out->module_id;
    case 4:
      return &out->property_bag;
    case 5:
      return &out->body;
    case 9:
      return &out->input_name;
    default:
      return nullptr;
  }
}

void SetNumber(uint64_t field, uint64_t number, EnvelopeView* out) {
  switch (field) {
    case 1:
      out->kind = number;
      break;
    case 6:
      out->received_unix_ms = static_cast<int64_t>(number);
      break;
    case 7:
      out->retain = number != 0;
      break;
    case 10:
      out->hops = number & UINT32_MAX;
      break;
    case 11:
      out->on_behalf = number != 0;
      break;
    default:
      break;
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
    std::string_view* const bytes = type == kBytes ? BytesField(field, out) : nullptr;
    if (bytes != nullptr) {
      if (!TakeBytes(&in, bytes)) return false;
    } else if (type == kVarint) {
      if (!TakeVarint(&in, &number)) return false;
      SetNumber(field, number, out);
    } else if (!Skip(type, &in)) {
      return false;
    }
  }
  return true;
}

}  // namespace holdfast
