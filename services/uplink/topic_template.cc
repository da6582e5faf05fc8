#include "services/uplink/topic_template.h"

#include <fmt/format.h>

#include "lib/base/status.h"
#include "lib/mqtt/packet.h"
#include "lib/mqtt/property_bag.h"
#include "lib/mqtt/topic.h"

namespace holdfast::uplink {
namespace {

// holdfast.message.v1.Envelope.KIND_WILL.
constexpr uint64_t kWill = 1;

// An identity as one level of a topic: what would end the level or make the name a filter is percent-encoded.
void AppendIdentity(std::string_view id, std::string* out) {
  size_t at = id.find_first_of("/#+");
  while (at != std::string_view::npos) {
    out->append(id.substr(0, at));
    mqtt::AppendPercentEncoded(id.substr(at, 1), out);
    id.remove_prefix(at + 1);
    at = id.find_first_of("/#+");
  }
  out->append(id);
}

// A child gateway's id stays: by it a copy that came of the way between the two gateways is recognised too.
bool KeepsId(const EnvelopeView& m) {
  return m.on_behalf && mqtt::FindProperty(m.property_bag, kIdProperty).has_value();
}

bool IsOurs(std::string_view key, const EnvelopeView& m) {
  return (mqtt::DecodesTo(key, kIdProperty) && !m.on_behalf) ||
         (m.kind == kWill && mqtt::DecodesTo(key, kMessageTypeProperty)) ||
         (m.retain && mqtt::DecodesTo(key, kRetainProperty));
}

// The bag without properties of the names that we are about to add.
void AppendForeignProperties(const EnvelopeView& m, std::string* out) {
  bool clash = false;
  mqtt::BagReader look(m.property_bag);
  while (const auto property = look.Next()) clash |= IsOurs(property->key, m);
  if (!clash) {
    const std::string_view bag = mqtt::TrimBag(m.property_bag);
    out->append(bag);
    if (!bag.empty()) out->push_back('&');
    return;
  }
  mqtt::BagReader copy(m.property_bag);
  while (const auto property = copy.Next()) {
    if (IsOurs(property->key, m)) continue;
    out->append(property->key);
    if (property->has_value) out->append("=").append(property->value);
    out->push_back('&');
  }
}

void AppendProperties(const EnvelopeView& m, std::string_view id, std::string* out) {
  AppendForeignProperties(m, out);
  if (m.kind == kWill) out->append(kMessageTypeProperty).append("=Will&");
  if (m.retain) out->append(kRetainProperty).append("=true&");
  if (KeepsId(m)) {
    out->pop_back();  // the '&' behind it
    return;
  }
  out->append(kIdProperty).append("=").append(id);
}

}  // namespace

absl::StatusOr<TopicTemplate> TopicTemplate::Create(std::string_view device_template,
                                                    std::string_view module_template) {
  TopicTemplate result;
  ASSIGN_OR_RETURN(result.device_, Parse(device_template));
  ASSIGN_OR_RETURN(result.module_, Parse(module_template));
  return result;
}

absl::StatusOr<std::vector<TopicTemplate::Part>> TopicTemplate::Parse(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("topic template \"{}\": {}", text, why));
  };
  if (text.empty()) return bad("it is empty");
  std::vector<Part> parts;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t open = rest.find('{');
    const std::string_view plain = rest.substr(0, open);
    if (!plain.empty()) {
      if (!mqtt::IsTopicName(plain) || mqtt::CheckUtf8(plain) != mqtt::Error::kOk ||
          plain.find('}') != std::string_view::npos) {
        return bad("'#', '+', '}' and bytes that are not UTF-8 are not allowed");
      }
      parts.push_back({Part::kText, std::string(plain)});
    }
    if (open == std::string_view::npos) break;
    const size_t close = rest.find('}', open);
    if (close == std::string_view::npos) return bad("a '{' is not closed");
    const std::string_view name = rest.substr(open + 1, close - open - 1);
    if (name == "device_id") {
      parts.push_back({Part::kDeviceId, ""});
    } else if (name == "module_id") {
      parts.push_back({Part::kModuleId, ""});
    } else if (name == "properties") {
      parts.push_back({Part::kProperties, ""});
    } else {
      return bad("known names are {device_id}, {module_id}, {properties}");
    }
    rest.remove_prefix(close + 1);
  }
  return parts;
}

bool TopicTemplate::Build(const EnvelopeView& m, std::string_view id, std::string* topic) const {
  topic->clear();
  for (const Part& part : m.module_id.empty() ? device_ : module_) {
    switch (part.kind) {
      case Part::kText:
        topic->append(part.text);
        break;
      case Part::kDeviceId:
        AppendIdentity(m.device_id, topic);
        break;
      case Part::kModuleId:
        AppendIdentity(m.module_id, topic);
        break;
      case Part::kProperties:
        AppendProperties(m, id, topic);
        break;
    }
  }
  return mqtt::IsTopicName(*topic) && mqtt::CheckUtf8(*topic) == mqtt::Error::kOk;
}

}  // namespace holdfast::uplink
