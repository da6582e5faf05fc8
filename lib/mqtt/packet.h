// The MQTT 3.1.1 packets as pure functions on bytes, both directions, no I/O. Source of every rule: OASIS MQTT
// Version 3.1.1 (29 October 2014); an Error's text cites the section or the conformance statement.
//
//   packet = header (1 byte: type << 4 | flags)  remaining length (1-4 bytes, 7 bits each, low first)  body
//
//   ScanResult scan = ScanFrame(buffer, limit);   // is a whole packet there?
//   if (scan.state == ScanResult::kPacket) { Publish p; Error e = DecodePublish(scan.frame, &p); … }
//
// What a decoder gives are views into the buffer that was scanned: valid as long as those bytes stay where they are.
// Decoding PUBLISH, PUBACK and the other packets with an identifier alone allocates nothing. After an error the
// contents of *out are unspecified; the connection must be closed (4.8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace holdfast::mqtt {

enum class PacketType : uint8_t {
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kPubrec = 5,
  kPubrel = 6,
  kPubcomp = 7,
  kSubscribe = 8,
  kSuback = 9,
  kUnsubscribe = 10,
  kUnsuback = 11,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
};

// "PUBLISH"; "RESERVED" for 0 and 15.
std::string_view Name(PacketType type);

// Largest packet that the format can express, and largest string in one.
inline constexpr size_t kPacketBytesMax = 5 + 268'435'455;
inline constexpr size_t kStringBytesMax = 65'535;

// Everything that can be wrong with a packet.
enum class Error : uint8_t {
  kOk = 0,
  kReservedType,         // 2.2.1: types 0 and 15
  kReservedFlags,        // 2.2.2
  kRemainingLength,      // 2.2.3: a fifth byte
  kTooLarge,             // the caller's limit
  kTruncated,            // a field reaches past the end of the packet
  kTrailingBytes,        // bytes behind the last field
  kInvalidUtf8,          // 1.5.3-1
  kNullCharacter,        // 1.5.3-2
  kPacketIdZero,         // 2.3.1-1
  kProtocolName,         // 3.1.2-1
  kProtocolLevel,        // 3.1.2-2: answer CONNACK 1
  kConnectReservedFlag,  // 3.1.2-3
  kWillFlags,            // 3.1.2-11, -13, -15
  kWillQos,              // 3.1.2-14
  kPasswordWithoutUser,  // 3.1.2-22
  kConnackFlags,         // 3.2.2
  kConnackCode,          // 3.2.2.3
  kQos3,                 // 3.3.1-4
  kDupWithQos0,          // 3.3.1-2
  kTopicName,            // 3.3.2-2, 4.7.3-1: empty or with a wildcard
  kNoFilters,            // 3.8.3-3, 3.10.3-2
  kTopicFilter,          // 4.7.1, 4.7.3-1: empty, '#' not last, '#' or '+' beside other characters
  kRequestedQos,         // 3.8.3-4
  kSubackCode,           // 3.9.3-2
  kStringTooLong,        // encoders: 1.5.3
};

// One sentence that cites the section; "ok" for kOk.
std::string_view Text(Error error);
// INVALID_ARGUMENT with that sentence (RESOURCE_EXHAUSTED for kTooLarge).
absl::Status ToStatus(Error error);

// A whole packet inside a buffer.
struct Frame {
  uint8_t header = 0;
  std::string_view body;
  // Header, remaining length and body.
  size_t size = 0;

  PacketType type() const { return static_cast<PacketType>(header >> 4); }
  uint8_t flags() const { return header & 0x0f; }
};

struct ScanResult {
  enum State : uint8_t { kNeedMore, kPacket, kError };
  State state = kNeedMore;
  Error error = Error::kOk;
  // If kPacket.
  Frame frame;
  // If kNeedMore: size of the whole packet, 0 while its length has not arrived yet. Never above the limit.
  size_t packet_size = 0;
};

// Looks at the start of `buffer`. `packet_bytes_max` limits the whole packet; a larger one is kTooLarge as soon as its
// length is known. Type and flags are checked on the first byte already.
ScanResult ScanFrame(std::string_view buffer, size_t packet_bytes_max);

struct Will {
  std::string_view topic;
  std::string_view message;
  uint8_t qos = 0;
  bool retain = false;
};

struct Connect {
  std::string_view client_id;  // may be empty: the server decides (3.1.3-6 to -9)
  uint16_t keep_alive_seconds = 0;
  bool clean_session = true;
  bool has_will = false;
  bool has_user_name = false;
  bool has_password = false;
  Will will;
  std::string_view user_name;
  std::string_view password;
};

enum class ConnackCode : uint8_t {
  kAccepted = 0,
  kUnacceptableProtocol = 1,
  kIdentifierRejected = 2,
  kServerUnavailable = 3,
  kBadUserOrPassword = 4,
  kNotAuthorized = 5,
};

// "not authorized" and so on.
std::string_view Text(ConnackCode code);

struct Connack {
  bool session_present = false;
  ConnackCode code = ConnackCode::kAccepted;
};

struct Publish {
  std::string_view topic;
  std::string_view payload;
  uint16_t packet_id = 0;  // 0 if and only if qos is 0
  uint8_t qos = 0;
  bool dup = false;
  bool retain = false;
};

struct Subscription {
  std::string_view filter;
  uint8_t qos = 0;
};

struct Subscribe {
  uint16_t packet_id = 0;
  std::vector<Subscription> subscriptions;
};

struct Unsubscribe {
  uint16_t packet_id = 0;
  std::vector<std::string_view> filters;
};

inline constexpr uint8_t kSubackFailure = 0x80;

struct Suback {
  uint16_t packet_id = 0;
  // One a filter: 0, 1, 2 or kSubackFailure. A view of bytes.
  std::string_view codes;
};

// Decoders. Each wants a frame of its own type (checked by assertion), as ScanFrame gave it.
Error DecodeConnect(const Frame& frame, Connect* out);
Error DecodeConnack(const Frame& frame, Connack* out);
Error DecodePublish(const Frame& frame, Publish* out);
Error DecodeSubscribe(const Frame& frame, Subscribe* out);
Error DecodeSuback(const Frame& frame, Suback* out);
Error DecodeUnsubscribe(const Frame& frame, Unsubscribe* out);
// PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK: a packet identifier and nothing else.
Error DecodePacketId(const Frame& frame, uint16_t* packet_id);
// PINGREQ, PINGRESP, DISCONNECT: no body at all.
Error DecodeEmpty(const Frame& frame);

// Encoders append one packet to *out. Those that return an Error append nothing when it is not kOk; they check what the
// decoder of the same packet checks of lengths, flags and topics, but take it from the caller that strings are UTF-8.
Error AppendConnect(const Connect& connect, std::string* out);
void AppendConnack(const Connack& connack, std::string* out);
Error AppendPublish(const Publish& publish, std::string* out);
Error AppendSubscribe(uint16_t packet_id, const std::vector<Subscription>& subscriptions, std::string* out);
void AppendSuback(uint16_t packet_id, std::string_view codes, std::string* out);
Error AppendUnsubscribe(uint16_t packet_id, const std::vector<std::string_view>& filters, std::string* out);
void AppendPuback(uint16_t packet_id, std::string* out);
void AppendPubrec(uint16_t packet_id, std::string* out);
void AppendPubrel(uint16_t packet_id, std::string* out);
void AppendPubcomp(uint16_t packet_id, std::string* out);
void AppendUnsuback(uint16_t packet_id, std::string* out);
void AppendPingreq(std::string* out);
void AppendPingresp(std::string* out);
void AppendDisconnect(std::string* out);

// PUBLISH built in place, for a topic that is put together from parts: one pass, no copy besides the one into *out.
struct PublishSpace {
  char* topic = nullptr;    // topic_size bytes to fill in
  char* payload = nullptr;  // payload_size bytes to fill in
};
// Fixed flags of a PUBLISH; packet_id must be 0 if and only if qos is 0.
struct PublishFlags {
  uint16_t packet_id = 0;
  uint8_t qos = 0;
  bool dup = false;
  bool retain = false;
};
// Needs 1 <= topic_size <= kStringBytesMax, and the whole within kPacketBytesMax (assertion). The pointers are valid
// until *out changes. The caller answers for the topic's being a valid one.
PublishSpace AppendPublishSpace(const PublishFlags& flags, size_t topic_size, size_t payload_size, std::string* out);
// Size on the wire of a PUBLISH.
size_t PublishSize(uint8_t qos, size_t topic_size, size_t payload_size);
// Sets the DUP flag of the PUBLISH that starts at *packet.
inline void SetDup(char* packet) {
  *packet = static_cast<char>(*packet | 0x08);
}

// kOk, kInvalidUtf8 or kNullCharacter (1.5.3).
Error CheckUtf8(std::string_view text);

}  // namespace holdfast::mqtt
