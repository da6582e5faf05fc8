#include "services/router/delivery_packet.h"

#include <fmt/format.h>

#include <charconv>

#include "holdfast/message/v1/message.pb.h"
#include "lib/mqtt/property_bag.h"
#include "lib/mqtt/topic.h"

namespace holdfast::router {
namespace {

// '$' encoded as the hub and the SDKs do it.
constexpr std::string_view kSenderDevice = "%24.cdid";
constexpr std::string_view kSenderModule = "%24.cmid";
constexpr std::string_view kTo = "%24.to";
constexpr std::string_view kMessageType = "iothub-MessageType";
constexpr std::string_view kRetain = "mqtt-retain";

// A name as one level of a topic: what would end the level or make it a filter is percent-encoded.
void AppendLevel(std::string_view name, std::string* out) {
  for (const char c : name) {
    if (c == '/' || c == '#' || c == '+') {
      mqtt::AppendPercentEncoded({&c, 1}, out);
    } else {
      out->push_back(c);
    }
  }
}

bool IsWill(const EnvelopeView& message) {
  return message.kind == message::v1::Envelope::KIND_WILL;
}

// Written by the gateway: what the sender wrote under that name does not count.
bool IsOurs(std::string_view key, const EnvelopeView& message, bool has_to) {
  return mqtt::DecodesTo(key, kHopsProperty) || mqtt::DecodesTo(key, "$.cdid") || mqtt::DecodesTo(key, "$.cmid") ||
         (has_to && mqtt::DecodesTo(key, "$.to")) || (message.retain && mqtt::DecodesTo(key, kRetain)) ||
         (IsWill(message) && mqtt::DecodesTo(key, kMessageType));
}

class BagWriter {
 public:
  explicit BagWriter(std::string* out) : out_(*out) {}
  // `key` and `value` as they are to be written.
  void Add(std::string_view key, std::string_view value) {
    Begin(key);
    out_.append("=").append(value);
  }
  void AddEncoded(std::string_view key, std::string_view value) {
    Begin(key);
    out_.push_back('=');
    mqtt::AppendPercentEncoded(value, &out_);
  }
  void Copy(const mqtt::RawProperty& property) {
    Begin(property.key);
    if (property.has_value) out_.append("=").append(property.value);
  }

 private:
  void Begin(std::string_view key) {
    if (!first_) out_.push_back('&');
    first_ = false;
    out_.append(key);
  }
  std::string& out_;
  bool first_ = true;
};

}  // namespace

bool TakeHops(std::string_view bag, uint32_t* hops, std::string* rest) {
  if (bag.empty()) return false;
  const auto found = mqtt::FindProperty(bag, kHopsProperty);
  if (!found.has_value()) return false;
  *hops = 0;
  std::from_chars(found->value.data(), found->value.data() + found->value.size(), *hops);
  rest->clear();
  BagWriter writer(rest);
  mqtt::BagReader properties(bag);
  while (const auto property = properties.Next()) {
    if (!mqtt::DecodesTo(property->key, kHopsProperty)) writer.Copy(*property);
  }
  return true;
}

DeliveryTopic::DeliveryTopic(const Identity& receiver) : is_module_(!receiver.module_id.empty()) {
  prefix_ = "devices/";
  AppendLevel(receiver.device_id, &prefix_);
  if (is_module_) {
    prefix_ += "/modules/";
    AppendLevel(receiver.module_id, &prefix_);
    prefix_ += "/inputs/";
    return;
  }
  prefix_ += "/messages/devicebound/";
  mqtt::AppendPercentEncoded(fmt::format("/devices/{}/messages/deviceBound", receiver.device_id), &to_);
}

bool DeliveryTopic::Build(const EnvelopeView& message, std::string* topic) const {
  topic->assign(prefix_);
  if (is_module_) {
    if (message.input_name.empty()) return false;
    AppendLevel(message.input_name, topic);
    topic->push_back('/');
  }
  // The hub has said whom its message is for.
  const bool from_here = !message.device_id.empty();
  const bool has_to = from_here && !is_module_;
  BagWriter bag(topic);
  mqtt::BagReader properties(message.property_bag);
  while (const auto property = properties.Next()) {
    if (!IsOurs(property->key, message, has_to)) bag.Copy(*property);
  }
  if (from_here) bag.AddEncoded(kSenderDevice, message.device_id);
  if (!message.module_id.empty()) bag.AddEncoded(kSenderModule, message.module_id);
  if (has_to) bag.Add(kTo, to_);
  if (IsWill(message)) bag.Add(kMessageType, "Will");
  if (message.retain) bag.Add(kRetain, "true");
  if (from_here) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, message.hops + 1).ptr;
    bag.Add(kHopsProperty, {digits, static_cast<size_t>(end - digits)});
  }
  return topic->size() <= mqtt::kStringBytesMax && mqtt::IsTopicName(*topic) &&
         mqtt::CheckUtf8(*topic) == mqtt::Error::kOk;
}

}  // namespace holdfast::router
