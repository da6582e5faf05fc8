#include "lib/routes/bag_message.h"

#include <cstring>
#include <ctime>

#include "lib/mqtt/property_bag.h"
#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

// Names in conditions of what a bag carries under a key of its own (IoT Edge contract A7).
struct SystemKey {
  std::string_view name;
  std::string_view key;
};
constexpr SystemKey kSystemKeys[] = {
    {"messageId", "$.mid"},
    {"correlationId", "$.cid"},
    {"userId", "$.uid"},
    {"to", "$.to"},
    {"contentType", "$.ct"},
    {"contentEncoding", "$.ce"},
    {"outputName", "$.on"},
    {"inputName", "$.in"},
    {"creationTime", "$.ctime"},
    {"messageSchema", "$.schema"},
    {"interfaceId", "$.ifid"},
    {"componentName", "$.sub"},
    {"absoluteExpiryTime", "$.exp"},
};
constexpr std::string_view kSystemPrefix = "$.";
constexpr std::string_view kModulePrefix = "/messages/modules/";
constexpr std::string_view kOutputPart = "/outputs/";
constexpr size_t kTimeBytes = sizeof "2026-11-25T07:00:00.000Z";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return (c | 0x20) - 'a' + 10;
}

char LowerAscii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Takes one decoded byte from the front of `encoded`, which is well formed and not empty.
char TakeDecoded(std::string_view* encoded) {
  char c = encoded->front();
  if (c != '%') {
    encoded->remove_prefix(1);
    return c;
  }
  c = static_cast<char>(HexDigit((*encoded)[1]) << 4 | HexDigit((*encoded)[2]));
  encoded->remove_prefix(3);
  return c;
}

bool DecodesToIgnoringCase(std::string_view encoded, std::string_view decoded) {
  while (!encoded.empty() && !decoded.empty()) {
    if (LowerAscii(TakeDecoded(&encoded)) != LowerAscii(decoded.front())) return false;
    decoded.remove_prefix(1);
  }
  return encoded.empty() && decoded.empty();
}

Property OfId(std::string_view id) {
  return id.empty() ? Property::Absent() : Property::Text(id);
}

}  // namespace

BagMessage::BagMessage(const BagMessageParts& parts) : parts_(parts) {
  if (parts_.twin_change) {
    source_ = kTwinChangeSource;
  } else if (parts_.module_id.empty()) {
    source_ = kLeafSource;
  } else {
    const std::string_view output = Find("$.on").text();
    const size_t size =
        kModulePrefix.size() + parts_.module_id.size() + (output.empty() ? 0 : kOutputPart.size() + output.size());
    char* const source = static_cast<char*>(memory_.allocate(size, 1));
    char* end = source;
    const auto put = [&end](std::string_view text) { end = std::copy(text.begin(), text.end(), end); };
    put(kModulePrefix);
    put(parts_.module_id);
    if (!output.empty()) {
      put(kOutputPart);
      put(output);
    }
    source_ = {source, size};
  }
}

std::string_view BagMessage::Decoded(std::string_view encoded) const {
  if (encoded.find('%') == std::string_view::npos) return encoded;
  char* const decoded = static_cast<char*>(memory_.allocate(encoded.size(), 1));
  size_t size = 0;
  while (!encoded.empty()) decoded[size++] = TakeDecoded(&encoded);
  return {decoded, size};
}

Property BagMessage::Find(std::string_view key) const {
  mqtt::BagReader reader(parts_.property_bag);
  while (const auto pair = reader.Next()) {
    if (!DecodesToIgnoringCase(pair->key, key)) continue;
    return pair->has_value ? Property::Text(Decoded(pair->value)) : Property::Null();
  }
  return Property::Absent();
}

Property BagMessage::ApplicationProperty(std::string_view key) const {
  if (key.starts_with(kSystemPrefix)) return Property::Absent();
  if (parts_.retain && EqualsIgnoringCase(key, "mqtt-retain")) return Property::Text("true");
  if (parts_.will && EqualsIgnoringCase(key, "iothub-MessageType")) return Property::Text("Will");
  return Find(key);
}

Property BagMessage::SystemProperty(std::string_view name) const {
  if (EqualsIgnoringCase(name, "connectionDeviceId")) return OfId(parts_.device_id);
  if (EqualsIgnoringCase(name, "connectionModuleId")) return OfId(parts_.module_id);
  if (EqualsIgnoringCase(name, "enqueuedTime")) return EnqueuedTime();
  for (const SystemKey& known : kSystemKeys) {
    if (EqualsIgnoringCase(name, known.name)) return Find(known.key);
  }
  return Property::Absent();
}

Property BagMessage::EnqueuedTime() const {
  if (parts_.received_unix_ms <= 0) return Property::Absent();
  const std::time_t seconds = parts_.received_unix_ms / 1000;
  std::tm utc = {};
  ::gmtime_r(&seconds, &utc);
  char* const text = static_cast<char*>(memory_.allocate(kTimeBytes, 1));
  size_t size = std::strftime(text, kTimeBytes, "%Y-%m-%dT%H:%M:%S", &utc);
  const auto millis = static_cast<int>(parts_.received_unix_ms % 1000);
  if (size == 0 || size + 6 > kTimeBytes) return Property::Absent();
  text[size++] = '.';
  text[size++] = static_cast<char>('0' + millis / 100);
  text[size++] = static_cast<char>('0' + millis / 10 % 10);
  text[size++] = static_cast<char>('0' + millis % 10);
  text[size++] = 'Z';
  return Property::Text({text, size});
}

}  // namespace holdfast::routes
