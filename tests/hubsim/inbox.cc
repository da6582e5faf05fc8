#include "tests/hubsim/inbox.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

struct SystemProperty {
  const char* field;
  std::string_view key;
};
constexpr SystemProperty kSystemProperties[] = {{"message_id", "$.mid"},      {"correlation_id", "$.cid"},
                                                {"user_id", "$.uid"},         {"content_type", "$.ct"},
                                                {"content_encoding", "$.ce"}, {"ack", "iothub-ack"}};

absl::Status Invalid(std::string text) {
  return absl::InvalidArgumentError(text);
}

// Text at `key`, "" if absent. False: another type.
bool TakeText(const json& body, const char* key, std::string* out) {
  const auto at = body.find(key);
  if (at == body.end()) return true;
  if (!at->is_string()) return false;
  *out = at->get<std::string>();
  return true;
}

absl::Status AppendProperties(const json& body, std::string* bag) {
  const auto properties = body.find("properties");
  if (properties == body.end()) return absl::OkStatus();
  if (!properties->is_object()) return Invalid("properties must be an object");
  for (const auto& [key, value] : properties->items()) {
    if (key.empty() || (!value.is_string() && !value.is_null())) return Invalid("properties must be text or null");
    const auto text = value.is_null() ? std::nullopt : std::optional<std::string>(value.get<std::string>());
    mqtt::AppendProperty(key, text ? std::optional<std::string_view>(*text) : std::nullopt, bag);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CloudMessage> CloudMessageFromJson(const json& body, std::string_view device_id, absl::Time now) {
  CloudMessage message;
  std::string text, base64;
  if (!TakeText(body, "payload", &message.payload) || !TakeText(body, "payload_base64", &base64)) {
    return Invalid("payload and payload_base64 must be text");
  }
  if (!base64.empty() && !absl::Base64Unescape(base64, &message.payload)) return Invalid("payload_base64 is no base64");
  mqtt::AppendProperty("$.to", fmt::format("/devices/{}/messages/deviceBound", device_id), &message.bag);
  for (const SystemProperty& property : kSystemProperties) {
    text.clear();
    if (!TakeText(body, property.field, &text)) return Invalid(fmt::format("{} must be text", property.field));
    if (!text.empty()) mqtt::AppendProperty(property.key, text, &message.bag);
    if (property.key == "$.mid") message.message_id = text;
  }
  if (const absl::Status status = AppendProperties(body, &message.bag); !status.ok()) return status;
  int64_t ttl = kInboxTtlSecondsDefault;
  if (const auto at = body.find("ttl_seconds"); at != body.end()) {
    if (!at->is_number_integer() || *at < 1 || *at > kInboxTtlSecondsMax) {
      return Invalid(fmt::format("ttl_seconds must be 1 to {}", kInboxTtlSecondsMax));
    }
    ttl = at->get<int64_t>();
  }
  message.expires = now + absl::Seconds(ttl);
  if (body.contains("ttl_seconds")) {
    mqtt::AppendProperty("$.exp", absl::FormatTime("%Y-%m-%dT%H:%M:%E7SZ", message.expires, absl::UTCTimeZone()),
                         &message.bag);
  }
  if (mqtt::CheckBag(message.bag) != mqtt::BagError::kOk)
    return Invalid("properties: a name is there twice, or too many");
  if (message.payload.size() + message.bag.size() > kInboxMessageBytesMax) {
    return Invalid(fmt::format("a message has {} bytes at most", kInboxMessageBytesMax));
  }
  return message;
}

void Inbox::DropExpired(absl::Time now) {
  std::erase_if(messages_, [now](const CloudMessage& m) { return m.packet_id == 0 && m.expires <= now; });
}

absl::Status Inbox::Add(CloudMessage message, absl::Time now) {
  DropExpired(now);
  if (messages_.size() >= kInboxMessagesMax) {
    return absl::ResourceExhaustedError(
        fmt::format("ErrorCode:DeviceMaximumQueueDepthExceeded;{} messages wait already", kInboxMessagesMax));
  }
  messages_.push_back(std::move(message));
  return absl::OkStatus();
}

void Inbox::Deliver(absl::Time now, const std::function<uint16_t(const CloudMessage&)>& send) {
  DropExpired(now);
  for (auto at = messages_.begin(); at != messages_.end();) {
    if (at->packet_id != 0) {
      ++at;
      continue;
    }
    ++at->deliveries;
    at->packet_id = send(*at);
    at = at->packet_id == 0 ? messages_.erase(at) : at + 1;
  }
}

bool Inbox::Complete(uint16_t packet_id) {
  return std::erase_if(messages_, [packet_id](const CloudMessage& m) { return m.packet_id == packet_id; }) > 0;
}

void Inbox::Abandon() {
  for (CloudMessage& message : messages_) message.packet_id = 0;
}

bool Inbox::IsOnItsWay(uint16_t packet_id) const {
  return std::any_of(messages_.begin(), messages_.end(),
                     [packet_id](const CloudMessage& m) { return m.packet_id == packet_id; });
}

}  // namespace holdfast::hubsim
