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
  kInputName = 9 << 3 | 2,
  kHops = 10 << 3,
  kOnBehalf = 11 << 3,
};

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

// Fields of value 0 are left out.
size_t NumberSize(uint64_t value) {
  return value == 0 ? 0 : 1 + VarintSize(value);
}

char* PutNumber(Tag tag, uint64_t value, char* out) {
  if (value == 0) return out;
  *out++ = tag;
  return PutVarint(value, out);
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

EnvelopeWriter::EnvelopeWriter(const Identity& sender, bool on_behalf)
    : sender_(BytesSize(sender.device_id) + BytesSize(sender.module_id), '\0') {
  PutBytes(kModuleId, sender.module_id, PutBytes(kDeviceId, sender.device_id, sender_.data()));
  if (on_behalf) sender_.append({kOnBehalf, 1});
}

size_t EnvelopeWriter::Size(const EnvelopeFields& fields) const {
  return NumberSize(static_cast<uint64_t>(fields.kind)) + sender_.size() + BytesSize(fields.property_bag) +
         BytesSize(fields.body) + NumberSize(static_cast<uint64_t>(fields.received_unix_ms)) +
         NumberSize(fields.retain) + NumberSize(fields.packet_id) + BytesSize(fields.input_name) +
         NumberSize(fields.hops);
}

void EnvelopeWriter::Write(const EnvelopeFields& fields, char* out) const {
  out = PutNumber(kKind, static_cast<uint64_t>(fields.kind), out);
  std::memcpy(out, sender_.data(), sender_.size());
  out = PutBytes(kPropertyBag, fields.property_bag, out + sender_.size());
  out = PutBytes(kBody, fields.body, out);
  out = PutNumber(kReceived, static_cast<uint64_t>(fields.received_unix_ms), out);
  out = PutNumber(kRetain, fields.retain, out);
  out = PutNumber(kPacketId, fields.packet_id, out);
  out = PutBytes(kInputName, fields.input_name, out);
  PutNumber(kHops, fields.hops, out);
}

}  // namespace holdfast::router
