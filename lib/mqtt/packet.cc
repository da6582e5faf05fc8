#include "lib/mqtt/packet.h"

#include <cassert>
#include <cstring>

#include "lib/mqtt/topic.h"

namespace holdfast::mqtt {
namespace {

constexpr uint8_t kProtocolLevel = 4;

// CONNECT flags (3.1.2.3).
constexpr uint8_t kFlagUserName = 0x80;
constexpr uint8_t kFlagPassword = 0x40;
constexpr uint8_t kFlagWillRetain = 0x20;
constexpr uint8_t kFlagWill = 0x04;
constexpr uint8_t kFlagCleanSession = 0x02;
constexpr uint8_t kFlagReserved = 0x01;

uint16_t Load16(const char* p) {
  return static_cast<uint16_t>(static_cast<uint8_t>(p[0]) << 8 | static_cast<uint8_t>(p[1]));
}

// Takes fields off the front of a body. Each returns false when the body is too short.
class Reader {
 public:
  explicit Reader(std::string_view body) : rest_(body) {}

  bool Byte(uint8_t* value) {
    if (rest_.empty()) return false;
    *value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return true;
  }
  bool Two(uint16_t* value) {
    if (rest_.size() < 2) return false;
    *value = Load16(rest_.data());
    rest_.remove_prefix(2);
    return true;
  }
  // Two bytes of length, then that many.
  bool Bytes(std::string_view* value) {
    uint16_t size = 0;
    if (!Two(&size) || rest_.size() < size) return false;
    *value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  Error String(std::string_view* value) { return Bytes(value) ? CheckUtf8(*value) : Error::kTruncated; }

  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// 2.2.1, 2.2.2.
Error CheckHeader(uint8_t header) {
  const uint8_t flags = header & 0x0f;
  switch (static_cast<PacketType>(header >> 4)) {
    case PacketType::kPublish:
      if ((flags & 0x06) == 0x06) return Error::kQos3;
      if ((flags & 0x0e) == 0x08) return Error::kDupWithQos0;
      return Error::kOk;
    case PacketType::kPubrel:
    case PacketType::kSubscribe:
    case PacketType::kUnsubscribe:
      return flags == 0x02 ? Error::kOk : Error::kReservedFlags;
    default:
      if (header >> 4 == 0 || header >> 4 == 15) return Error::kReservedType;
      return flags == 0 ? Error::kOk : Error::kReservedFlags;
  }
}

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighs = 0x8080808080808080;

// High bit set in some byte if a byte of x is zero.
constexpr uint64_t HasZero(uint64_t x) {
  return (x - kOnes) & ~x & kHighs;
}

// Length of one UTF-8 sequence at the start of `s` (well formed by table 3-7 of the Unicode standard, so no surrogates
// and no overlong forms), or 0.
size_t Utf8Sequence(std::string_view s) {
  const auto at = [s](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : uint8_t{0}; };
  const auto tail = [at](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return at(1) >= low && at(1) <= high && tail(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return at(1) >= low && at(1) <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// Everything that DecodeConnect reads behind the fixed header of CONNECT.
Error ReadConnectPayload(uint8_t flags, Reader* in, Connect* out) {
  if (Error e = in->String(&out->client_id); e != Error::kOk) return e;
  if (out->has_will) {
    if (Error e = in->String(&out->will.topic); e != Error::kOk) return e;
    if (!in->Bytes(&out->will.message)) return Error::kTruncated;
    if (!IsTopicName(out->will.topic)) return Error::kTopicName;
  }
  if (out->has_user_name) {
    if (Error e = in->String(&out->user_name); e != Error::kOk) return e;
  }
  if (out->has_password && !in->Bytes(&out->password)) return Error::kTruncated;
  return in->empty() ? Error::kOk : Error::kTrailingBytes;
}

// 3.1.2.3.
Error ReadConnectFlags(uint8_t flags, Connect* out) {
  if (flags & kFlagReserved) return Error::kConnectReservedFlag;
  out->clean_session = flags & kFlagCleanSession;
  out->has_will = flags & kFlagWill;
  out->will.qos = (flags >> 3) & 3;
  out->will.retain = flags & kFlagWillRetain;
  out->has_user_name = flags & kFlagUserName;
  out->has_password = flags & kFlagPassword;
  if (!out->has_will && (out->will.qos != 0 || out->will.retain)) return Error::kWillFlags;
  if (out->will.qos == 3) return Error::kWillQos;
  if (out->has_password && !out->has_user_name) return Error::kPasswordWithoutUser;
  return Error::kOk;
}

}  // namespace

Error CheckUtf8(std::string_view text) {
  while (!text.empty()) {
    // Eight at a time while they are ASCII and not NUL.
    while (text.size() >= 8) {
      uint64_t word;
      std::memcpy(&word, text.data(), 8);
      if ((word & kHighs) | HasZero(word)) break;
      text.remove_prefix(8);
    }
    if (text.empty()) break;
    if (text.front() == '\0') return Error::kNullCharacter;
    const size_t n = Utf8Sequence(text);
    if (n == 0) return Error::kInvalidUtf8;
    text.remove_prefix(n);
  }
  return Error::kOk;
}

ScanResult ScanFrame(std::string_view buffer, size_t packet_bytes_max) {
  ScanResult result;
  const auto fail = [&result](Error error) {
    result.state = ScanResult::kError;
    result.error = error;
    return result;
  };
  if (buffer.empty()) return result;
  const auto header = static_cast<uint8_t>(buffer[0]);
  if (Error e = CheckHeader(header); e != Error::kOk) return fail(e);
  size_t remaining = 0;
  size_t at = 1;
  for (int shift = 0;; shift += 7) {
    if (at > 4) return fail(Error::kRemainingLength);
    if (at >= buffer.size()) return result;
    const auto byte = static_cast<uint8_t>(buffer[at++]);
    remaining |= static_cast<size_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  const size_t size = at + remaining;
  if (size > packet_bytes_max) return fail(Error::kTooLarge);
  result.packet_size = size;
  if (buffer.size() < size) return result;
  result.state = ScanResult::kPacket;
  result.frame = Frame{header, buffer.substr(at, remaining), size};
  return result;
}

Error DecodeConnect(const Frame& frame, Connect* out) {
  assert(frame.type() == PacketType::kConnect);
  Reader in(frame.body);
  std::string_view name;
  uint8_t level = 0;
  uint8_t flags = 0;
  if (!in.Bytes(&name)) return Error::kTruncated;
  // MQTT 3.1 ("MQIsdp", level 3) is told by CONNACK 1 which version is spoken here, as another level is.
  if (name == "MQIsdp") return Error::kProtocolLevel;
  if (name != "MQTT") return Error::kProtocolName;
  if (!in.Byte(&level)) return Error::kTruncated;
  if (level != kProtocolLevel) return Error::kProtocolLevel;
  if (!in.Byte(&flags) || !in.Two(&out->keep_alive_seconds)) return Error::kTruncated;
  *out = Connect{.keep_alive_seconds = out->keep_alive_seconds};
  if (Error e = ReadConnectFlags(flags, out); e != Error::kOk) return e;
  return ReadConnectPayload(flags, &in, out);
}

Error DecodeConnack(const Frame& frame, Connack* out) {
  assert(frame.type() == PacketType::kConnack);
  if (frame.body.size() < 2) return Error::kTruncated;
  if (frame.body.size() > 2) return Error::kTrailingBytes;
  const auto flags = static_cast<uint8_t>(frame.body[0]);
  const auto code = static_cast<uint8_t>(frame.body[1]);
  if (flags > 1) return Error::kConnackFlags;
  if (code > 5) return Error::kConnackCode;
  if (flags == 1 && code != 0) return Error::kConnackFlags;  // 3.2.2-4
  out->session_present = flags == 1;
  out->code = static_cast<ConnackCode>(code);
  return Error::kOk;
}

Error DecodePublish(const Frame& frame, Publish* out) {
  assert(frame.type() == PacketType::kPublish);
  const uint8_t flags = frame.flags();
  out->retain = flags & 0x01;
  out->qos = (flags >> 1) & 3;
  out->dup = flags & 0x08;
  out->packet_id = 0;
  Reader in(frame.body);
  if (!in.Bytes(&out->topic)) return Error::kTruncated;
  if (Error e = CheckUtf8(out->topic); e != Error::kOk) return e;
  if (!IsTopicName(out->topic)) return Error::kTopicName;
  if (out->qos != 0) {
    if (!in.Two(&out->packet_id)) return Error::kTruncated;
    if (out->packet_id == 0) return Error::kPacketIdZero;
  }
  out->payload = in.rest();
  return Error::kOk;
}

Error DecodePacketId(const Frame& frame, uint16_t* packet_id) {
  if (frame.body.size() < 2) return Error::kTruncated;
  if (frame.body.size() > 2) return Error::kTrailingBytes;
  *packet_id = Load16(frame.body.data());
  return *packet_id == 0 ? Error::kPacketIdZero : Error::kOk;
}

Error DecodeSubscribe(const Frame& frame, Subscribe* out) {
  assert(frame.type() == PacketType::kSubscribe);
  out->subscriptions.clear();
  Reader in(frame.body);
  if (!in.Two(&out->packet_id)) return Error::kTruncated;
  if (out->packet_id == 0) return Error::kPacketIdZero;
  if (in.empty()) return Error::kNoFilters;
  while (!in.empty()) {
    Subscription s;
    if (Error e = in.String(&s.filter); e != Error::kOk) return e;
    if (!IsTopicFilter(s.filter)) return Error::kTopicFilter;
    if (!in.Byte(&s.qos)) return Error::kTruncated;
    if (s.qos > 2) return Error::kRequestedQos;
    out->subscriptions.push_back(s);
  }
  return Error::kOk;
}

Error DecodeSuback(const Frame& frame, Suback* out) {
  assert(frame.type() == PacketType::kSuback);
  Reader in(frame.body);
  if (!in.Two(&out->packet_id)) return Error::kTruncated;
  if (out->packet_id == 0) return Error::kPacketIdZero;
  if (in.empty()) return Error::kTruncated;
  for (const char c : in.rest()) {
    const auto code = static_cast<uint8_t>(c);
    if (code > 2 && code != kSubackFailure) return Error::kSubackCode;
  }
  out->codes = in.rest();
  return Error::kOk;
}

Error DecodeUnsubscribe(const Frame& frame, Unsubscribe* out) {
  assert(frame.type() == PacketType::kUnsubscribe);
  out->filters.clear();
  Reader in(frame.body);
  if (!in.Two(&out->packet_id)) return Error::kTruncated;
  if (out->packet_id == 0) return Error::kPacketIdZero;
  if (in.empty()) return Error::kNoFilters;
  while (!in.empty()) {
    std::string_view filter;
    if (Error e = in.String(&filter); e != Error::kOk) return e;
    if (!IsTopicFilter(filter)) return Error::kTopicFilter;
    out->filters.push_back(filter);
  }
  return Error::kOk;
}

Error DecodeEmpty(const Frame& frame) {
  return frame.body.empty() ? Error::kOk : Error::kTrailingBytes;
}

std::string_view Name(PacketType type) {
  static constexpr std::string_view kNames[] = {
      "RESERVED",  "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
      "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "RESERVED"};
  return kNames[static_cast<uint8_t>(type) & 0x0f];
}

std::string_view Text(Error error) {
  switch (error) {
    case Error::kOk:
      return "ok";
    case Error::kReservedType:
      return "the packet type is reserved (MQTT 3.1.1, 2.2.1)";
    case Error::kReservedFlags:
      return "the header's flags are not those of the packet type (MQTT-2.2.2-2)";
    case Error::kRemainingLength:
      return "the remaining length has more than four bytes (MQTT 3.1.1, 2.2.3)";
    case Error::kTooLarge:
      return "the packet is larger than the limit";
    case Error::kTruncated:
      return "a field reaches past the end of the packet (MQTT 3.1.1, 4.8)";
    case Error::kTrailingBytes:
      return "there are bytes behind the packet's last field (MQTT 3.1.1, 4.8)";
    case Error::kInvalidUtf8:
      return "a string is not well-formed UTF-8 (MQTT-1.5.3-1)";
    case Error::kNullCharacter:
      return "a string holds U+0000 (MQTT-1.5.3-2)";
    case Error::kPacketIdZero:
      return "the packet identifier is 0 (MQTT-2.3.1-1)";
    case Error::kProtocolName:
      return "the protocol name is not MQTT (MQTT-3.1.2-1)";
    case Error::kProtocolLevel:
      return "the protocol level is not 4, MQTT 3.1.1 (MQTT-3.1.2-2)";
    case Error::kConnectReservedFlag:
      return "the reserved flag of CONNECT is set (MQTT-3.1.2-3)";
    case Error::kWillFlags:
      return "will QoS or will retain without a will (MQTT-3.1.2-13, -15)";
    case Error::kWillQos:
      return "the will's QoS is 3 (MQTT-3.1.2-14)";
    case Error::kPasswordWithoutUser:
      return "a password without a user name (MQTT-3.1.2-22)";
    case Error::kConnackFlags:
      return "the flags of CONNACK are not valid (MQTT 3.1.1, 3.2.2)";
    case Error::kConnackCode:
      return "the return code of CONNACK is reserved (MQTT 3.1.1, 3.2.2.3)";
    case Error::kQos3:
      return "the QoS of PUBLISH is 3 (MQTT-3.3.1-4)";
    case Error::kDupWithQos0:
      return "DUP is set on a PUBLISH with QoS 0 (MQTT-3.3.1-2)";
    case Error::kTopicName:
      return "the topic name is empty or holds a wildcard (MQTT-3.3.2-2, MQTT-4.7.3-1)";
    case Error::kNoFilters:
      return "there is no topic filter (MQTT-3.8.3-3, MQTT-3.10.3-2)";
    case Error::kTopicFilter:
      return "the topic filter is not valid (MQTT-4.7.1-2, -3, MQTT-4.7.3-1)";
    case Error::kRequestedQos:
      return "the requested QoS is not 0, 1 or 2 (MQTT-3.8.3-4)";
    case Error::kSubackCode:
      return "a return code of SUBACK is reserved (MQTT-3.9.3-2)";
    case Error::kStringTooLong:
      return "a string is longer than 65,535 bytes (MQTT 3.1.1, 1.5.3)";
  }
  return "unknown error";
}

std::string_view Text(ConnackCode code) {
  switch (code) {
    case ConnackCode::kAccepted:
      return "accepted";
    case ConnackCode::kUnacceptableProtocol:
      return "unacceptable protocol version";
    case ConnackCode::kIdentifierRejected:
      return "identifier rejected";
    case ConnackCode::kServerUnavailable:
      return "server unavailable";
    case ConnackCode::kBadUserOrPassword:
      return "bad user name or password";
    case ConnackCode::kNotAuthorized:
      return "not authorized";
  }
  return "unknown return code";
}

absl::Status ToStatus(Error error) {
  if (error == Error::kOk) return absl::OkStatus();
  const std::string text(Text(error));
  return error == Error::kTooLarge ? absl::ResourceExhaustedError(text) : absl::InvalidArgumentError(text);
}

}  // namespace holdfast::mqtt
