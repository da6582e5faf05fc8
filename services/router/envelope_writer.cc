#include "services/router/envelope_writer.h"

#include <cstring>

namespace holdfast::router {
namespace {

// Field number << 3 | wire type (0 = varint, 2 = length-delimited), as in message.proto.
enum Tag : char {
  kKind = 1 << 3,
  kDeviceId = 2 << 3 | 2,
  kModuleId = 3 << 3 | 2,
  kPropertyBag = 4 << 3 | 2,
  kBody = 5 << 3 | 2,
  kReceived = 6 << 3,
  kRetain = 7 << 3,
  kPacketId = 8 << 3,
};
constexpr char kKindWill = 1;

size_t VarintSize(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

char* PutVarint(uint64_t value, char* out) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}

size_t BytesSize(std::string_view bytes) {
  return bytes.empty() ? 0 : 1 + VarintSize(bytes.size()) + bytes.size();
}

char* PutBytes(Tag tag, std::string_view bytes, char* out) {
  if (bytes.empty()) return out;
  *out++ = tag;
  out = PutVarint(bytes.size(), out);
  std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

}  // namespace

EnvelopeWriter::EnvelopeWriter(const Identity& sender)
    : sender_(BytesSize(sender.device_id) + BytesSize(sender.module_id), '\0') {
  PutBytes(kModuleId, sender.module_id, PutBytes(kDeviceId, sender.device_id, sender_.data()));
}

size_t EnvelopeWriter::Size(const EnvelopeFields& fields) const {
  return (fields.is_will ? 2 : 0) + sender_.size() + BytesSize(fields.property_bag) + BytesSize(fields.body) +
         (fields.received_unix_ms == 0 ? 0 : 1 + VarintSize(static_cast<uint64_t>(fields.received_unix_ms))) +
         (fields.retain ? 2 : 0) + (fields.packet_id == 0 ? 0 : 1 + VarintSize(fields.packet_id));
}

void EnvelopeWriter::Write(const EnvelopeFields& fields, char* out) const {
  if (fields.is_will) {
    *out++ = kKind;
    *out++ = kKindWill;
  }
  std::memcpy(out, sender_.data(), sender_.size());
  out = PutBytes(kPropertyBag, fields.property_bag, out + sender_.size());
  out = PutBytes(kBody, fields.body, out);
  if (fields.received_unix_ms != 0) {
    *out++ = kReceived;
    out = PutVarint(static_cast<uint64_t>(fields.received_unix_ms), out);
  }
  if (fields.retain) {
    *out++ = kRetain;
    *out++ = 1;
  }
  if (fields.packet_id != 0) {
    *out++ = kPacketId;
    PutVarint(fields.packet_id, out);
  }
}

}  // namespace holdfast::router
