// The encoders of lib/mqtt/packet.h.
#include <cassert>
#include <cstring>

#include "lib/mqtt/packet.h"
#include "lib/mqtt/topic.h"

namespace holdfast::mqtt {
namespace {

constexpr size_t kRemainingLengthMax = 268'435'455;

void PutByte(uint8_t value, std::string* out) {
  out->push_back(static_cast<char>(value));
}

void Put16(uint16_t value, std::string* out) {
  PutByte(static_cast<uint8_t>(value >> 8), out);
  PutByte(static_cast<uint8_t>(value), out);
}

void PutString(std::string_view value, std::string* out) {
  Put16(static_cast<uint16_t>(value.size()), out);
  out->append(value);
}

// Bytes that the remaining length `n` takes.
size_t LengthBytes(size_t n) {
  return n < 128 ? 1 : n < 16'384 ? 2 : n < 2'097'152 ? 3 : 4;
}

char* WriteLength(size_t n, char* p) {
  do {
    const auto low = static_cast<uint8_t>(n & 0x7f);
    n >>= 7;
    *p++ = static_cast<char>(n > 0 ? low | 0x80 : low);
  } while (n > 0);
  return p;
}

void PutHeader(uint8_t header, size_t remaining, std::string* out) {
  assert(remaining <= kRemainingLengthMax);
  char bytes[5];
  bytes[0] = static_cast<char>(header);
  const char* end = WriteLength(remaining, bytes + 1);
  out->append(bytes, static_cast<size_t>(end - bytes));
}

void AppendIdOnly(uint8_t header, uint16_t packet_id, std::string* out) {
  assert(packet_id != 0);
  const char bytes[4] = {static_cast<char>(header), 2, static_cast<char>(packet_id >> 8), static_cast<char>(packet_id)};
  out->append(bytes, sizeof bytes);
}

constexpr uint8_t Header(PacketType type, uint8_t flags = 0) {
  return static_cast<uint8_t>(static_cast<uint8_t>(type) << 4 | flags);
}

}  // namespace

Error AppendConnect(const Connect& c, std::string* out) {
  if (!c.has_will && (c.will.qos != 0 || c.will.retain)) return Error::kWillFlags;
  if (c.will.qos > 2) return Error::kWillQos;
  if (c.has_password && !c.has_user_name) return Error::kPasswordWithoutUser;
  for (const std::string_view s : {c.client_id, c.will.topic, c.will.message, c.user_name, c.password}) {
    if (s.size() > kStringBytesMax) return Error::kStringTooLong;
  }
  if (c.has_will && !IsTopicName(c.will.topic)) return Error::kTopicName;
  size_t remaining = 10 + 2 + c.client_id.size();
  if (c.has_will) remaining += 4 + c.will.topic.size() + c.will.message.size();
  if (c.has_user_name) remaining += 2 + c.user_name.size();
  if (c.has_password) remaining += 2 + c.password.size();
  PutHeader(Header(PacketType::kConnect), remaining, out);
  PutString("MQTT", out);
  PutByte(4, out);
  PutByte(static_cast<uint8_t>((c.has_user_name ? 0x80 : 0) | (c.has_password ? 0x40 : 0) | (c.will.retain ? 0x20 : 0) |
                               c.will.qos << 3 | (c.has_will ? 0x04 : 0) | (c.clean_session ? 0x02 : 0)),
          out);
  Put16(c.keep_alive_seconds, out);
  PutString(c.client_id, out);
  if (c.has_will) {
    PutString(c.will.topic, out);
    PutString(c.will.message, out);
  }
  if (c.has_user_name) PutString(c.user_name, out);
  if (c.has_password) PutString(c.password, out);
  return Error::kOk;
}

void AppendConnack(const Connack& connack, std::string* out) {
  const bool present = connack.session_present && connack.code == ConnackCode::kAccepted;  // 3.2.2-4
  const char bytes[4] = {0x20, 2, static_cast<char>(present ? 1 : 0), static_cast<char>(connack.code)};
  out->append(bytes, sizeof bytes);
}

size_t PublishSize(uint8_t qos, size_t topic_size, size_t payload_size) {
  const size_t remaining = 2 + topic_size + (qos > 0 ? 2 : 0) + payload_size;
  return 1 + LengthBytes(remaining) + remaining;
}

PublishSpace AppendPublishSpace(const PublishFlags& flags, size_t topic_size, size_t payload_size, std::string* out) {
  assert(topic_size >= 1 && topic_size <= kStringBytesMax);
  assert((flags.qos == 0) == (flags.packet_id == 0));
  const size_t remaining = 2 + topic_size + (flags.qos > 0 ? 2 : 0) + payload_size;
  assert(remaining <= kRemainingLengthMax);
  const size_t start = out->size();
  out->resize(start + 1 + LengthBytes(remaining) + remaining);
  char* p = out->data() + start;
  *p++ = static_cast<char>(Header(
      PacketType::kPublish, static_cast<uint8_t>((flags.dup ? 0x08 : 0) | flags.qos << 1 | (flags.retain ? 0x01 : 0))));
  p = WriteLength(remaining, p);
  *p++ = static_cast<char>(topic_size >> 8);
  *p++ = static_cast<char>(topic_size);
  PublishSpace space;
  space.topic = p;
  p += topic_size;
  if (flags.qos > 0) {
    *p++ = static_cast<char>(flags.packet_id >> 8);
    *p++ = static_cast<char>(flags.packet_id);
  }
  space.payload = p;
  return space;
}

Error AppendPublish(const Publish& p, std::string* out) {
  if (p.qos > 2) return Error::kQos3;
  if (p.dup && p.qos == 0) return Error::kDupWithQos0;
  if (p.topic.size() > kStringBytesMax) return Error::kStringTooLong;
  if (!IsTopicName(p.topic)) return Error::kTopicName;
  if (p.qos > 0 && p.packet_id == 0) return Error::kPacketIdZero;
  if (p.payload.size() > kRemainingLengthMax - 4 - p.topic.size()) return Error::kTooLarge;
  const uint16_t packet_id = p.qos > 0 ? p.packet_id : uint16_t{0};
  const PublishSpace space =
      AppendPublishSpace({packet_id, p.qos, p.dup, p.retain}, p.topic.size(), p.payload.size(), out);
  std::memcpy(space.topic, p.topic.data(), p.topic.size());
  if (!p.payload.empty()) std::memcpy(space.payload, p.payload.data(), p.payload.size());
  return Error::kOk;
}

Error AppendSubscribe(uint16_t packet_id, const std::vector<Subscription>& subscriptions, std::string* out) {
  if (packet_id == 0) return Error::kPacketIdZero;
  if (subscriptions.empty()) return Error::kNoFilters;
  size_t remaining = 2;
  for (const Subscription& s : subscriptions) {
    if (s.filter.size() > kStringBytesMax) return Error::kStringTooLong;
    if (!IsTopicFilter(s.filter)) return Error::kTopicFilter;
    if (s.qos > 2) return Error::kRequestedQos;
    remaining += 3 + s.filter.size();
  }
  if (remaining > kRemainingLengthMax) return Error::kTooLarge;
  PutHeader(Header(PacketType::kSubscribe, 2), remaining, out);
  Put16(packet_id, out);
  for (const Subscription& s : subscriptions) {
    PutString(s.filter, out);
    PutByte(s.qos, out);
  }
  return Error::kOk;
}

void AppendSuback(uint16_t packet_id, std::string_view codes, std::string* out) {
  assert(packet_id != 0 && !codes.empty());
  PutHeader(Header(PacketType::kSuback), 2 + codes.size(), out);
  Put16(packet_id, out);
  out->append(codes);
}

Error AppendUnsubscribe(uint16_t packet_id, const std::vector<std::string_view>& filters, std::string* out) {
  if (packet_id == 0) return Error::kPacketIdZero;
  if (filters.empty()) return Error::kNoFilters;
  size_t remaining = 2;
  for (const std::string_view filter : filters) {
    if (filter.size() > kStringBytesMax) return Error::kStringTooLong;
    if (!IsTopicFilter(filter)) return Error::kTopicFilter;
    remaining += 2 + filter.size();
  }
  if (remaining > kRemainingLengthMax) return Error::kTooLarge;
  PutHeader(Header(PacketType::kUnsubscribe, 2), remaining, out);
  Put16(packet_id, out);
  for (const std::string_view filter : filters) PutString(filter, out);
  return Error::kOk;
}

void AppendPuback(uint16_t id, std::string* out) {
  AppendIdOnly(Header(PacketType::kPuback), id, out);
}
void AppendPubrec(uint16_t id, std::string* out) {
  AppendIdOnly(Header(PacketType::kPubrec), id, out);
}
void AppendPubrel(uint16_t id, std::string* out) {
  AppendIdOnly(Header(PacketType::kPubrel, 2), id, out);
}
void AppendPubcomp(uint16_t id, std::string* out) {
  AppendIdOnly(Header(PacketType::kPubcomp), id, out);
}
void AppendUnsuback(uint16_t id, std::string* out) {
  AppendIdOnly(Header(PacketType::kUnsuback), id, out);
}
void AppendPingreq(std::string* out) {
  PutHeader(Header(PacketType::kPingreq), 0, out);
}
void AppendPingresp(std::string* out) {
  PutHeader(Header(PacketType::kPingresp), 0, out);
}
void AppendDisconnect(std::string* out) {
  PutHeader(Header(PacketType::kDisconnect), 0, out);
}

}  // namespace holdfast::mqtt
