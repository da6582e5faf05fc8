#include "cli/queue_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/escaping.h"
#include "cli/wire.h"
#include "lib/base/status.h"
#include "lib/iothub/user_name.h"
#include "lib/mqtt/property_bag.h"
#include "lib/record/block.h"

namespace holdfast::cli {
namespace {

using message::v1::Envelope;
using nlohmann::json;

constexpr int kVersion = 1;
constexpr char kIdProperty[] = "hf-id";
constexpr uint32_t kDefaultLane = 2'000'000'000;
constexpr uint32_t kPriorityMax = 9;
constexpr size_t kIdBytesMax = 256;
constexpr size_t kHexDigits = 16;
// Of a record, which has its length in front in a block.
constexpr size_t kRecordBytesMax = kBlockBytesMax - 5;

constexpr std::pair<std::string_view, Envelope::Kind> kKinds[] = {
    {"telemetry", Envelope::KIND_TELEMETRY},
    {"will", Envelope::KIND_WILL},
    {"cloud_to_device", Envelope::KIND_CLOUD_TO_DEVICE},
    {"twin_change", Envelope::KIND_TWIN_CHANGE},
};
// Years have four digits.
const absl::Time kTimeEnd = absl::FromUnixSeconds(253'402'300'800);

std::string TimeText(absl::Time t) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", t, absl::UTCTimeZone());
}

absl::Status Wrong(std::string_view what, std::string_view should) {
  return absl::InvalidArgumentError(fmt::format("{} must be {}", what, should));
}

// The members of one object, each asked for by its name. Not thread-safe.
class Members {
 public:
  explicit Members(const json& object) : object_(object) {}

  absl::Status Text(std::string_view name, std::string* out, bool needed = true) const {
    const json* const value = Find(name);
    if (value == nullptr) return needed ? Wrong(name, "there") : absl::OkStatus();
    if (!value->is_string()) return Wrong(name, "text");
    *out = value->get<std::string>();
    return absl::OkStatus();
  }
  absl::Status Number(std::string_view name, int64_t min, int64_t max, int64_t* out, bool needed = true) const {
    const json* const value = Find(name);
    if (value == nullptr) return needed ? Wrong(name, "there") : absl::OkStatus();
    const bool fits = value->is_number_unsigned() ? value->get<uint64_t>() <= INT64_MAX : value->is_number_integer();
    if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max) {
      return Wrong(name, fmt::format("a whole number from {} to {}", min, max));
    }
    *out = value->get<int64_t>();
    return absl::OkStatus();
  }
  absl::Status Flag(std::string_view name, bool* out) const {
    const json* const value = Find(name);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_boolean()) return Wrong(name, "true or false");
    *out = value->get<bool>();
    return absl::OkStatus();
  }
  absl::Status Time(std::string_view name, absl::Time* out) const {
    std::string text;
    RETURN_IF_ERROR(Text(name, &text));
    std::string ignored;
    if (!absl::ParseTime(absl::RFC3339_full, text, out, &ignored) || *out < absl::UnixEpoch() || *out >= kTimeEnd) {
      return Wrong(name, "a time such as 2026-11-25T07:00:00.123Z");
    }
    return absl::OkStatus();
  }
  const json* Find(std::string_view name) const {
    const auto it = object_.find(name);
    return it == object_.end() ? nullptr : &*it;
  }
  // A member that is none of these was meant to be one of them.
  absl::Status Only(std::initializer_list<std::string_view> names) const {
    for (const auto& [name, value] : object_.items()) {
      if (std::ranges::find(names, name) == names.end()) {
        return absl::InvalidArgumentError(fmt::format("\"{}\" is no member of such a line", name));
      }
    }
    return absl::OkStatus();
  }

 private:
  const json& object_;
};

// The bag's properties as objects; false: of application and system.
json PropertiesOf(std::string_view bag, bool system) {
  json out = json::object();
  mqtt::BagReader reader(bag);
  std::string scratch;
  while (const auto property = reader.Next()) {
    const std::string key(mqtt::PercentDecode(property->key, &scratch));
    if (key.starts_with("$.") != system) continue;
    out[key] = property->has_value ? json(std::string(mqtt::PercentDecode(property->value, &scratch))) : json(nullptr);
  }
  return out;
}

bool IsHex(std::string_view text) {
  return text.size() == kHexDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsUtf8(const Envelope& e) {
  try {
    (void)json{e.device_id(), e.module_id(), e.property_bag(), e.input_name()}.dump();
    return true;
  } catch (const json::exception&) {  // what strict dump() has for it
    return false;
  }
}

std::string LineOf(const json& object) {
  return object.dump() + "\n";
}

absl::Status CheckIdentity(const Envelope& e) {
  const bool from_client = e.kind() != Envelope::KIND_CLOUD_TO_DEVICE;
  if (e.device_id().empty() && (from_client || !e.module_id().empty())) return Wrong("device_id", "there");
  if (!e.device_id().empty() && !iothub::IsId(e.device_id())) return Wrong("device_id", "a device's id");
  if (!e.module_id().empty() && !iothub::IsId(e.module_id())) return Wrong("module_id", "a module's id");
  return absl::OkStatus();
}

absl::Status CheckBag(const Members& members, const std::string& bag) {
  if (const mqtt::BagError error = mqtt::CheckBag(bag); error != mqtt::BagError::kOk) {
    return absl::InvalidArgumentError(fmt::format("property_bag: {}", mqtt::Text(error)));
  }
  for (const bool system : {false, true}) {
    const char* const name = system ? "system_properties" : "properties";
    const json* const shown = members.Find(name);
    if (shown != nullptr && *shown != PropertiesOf(bag, system)) {
      return absl::InvalidArgumentError(fmt::format(
          "{} is not what property_bag says; property_bag counts: change that, and leave {} out", name, name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<QueueFileHeader> ReadHeader(const Members& members) {
  RETURN_IF_ERROR(members.Only({"holdfast_export", "id", "queue", "incarnation", "exported_at"}));
  QueueFileHeader header;
  int64_t version = 0;
  RETURN_IF_ERROR(members.Number("holdfast_export", 1, INT32_MAX, &version));
  if (version != kVersion) {
    return absl::InvalidArgumentError(
        fmt::format("the file is of version {}, which this command does not know", version));
  }
  RETURN_IF_ERROR(members.Text("id", &header.id));
  RETURN_IF_ERROR(members.Text("queue", &header.queue));
  RETURN_IF_ERROR(members.Text("incarnation", &header.incarnation));
  RETURN_IF_ERROR(members.Time("exported_at", &header.exported_at));
  if (!IsHex(header.id)) return Wrong("id", "16 hexadecimal digits");
  if (!IsHex(header.incarnation)) return Wrong("incarnation", "16 hexadecimal digits");
  if (header.queue.empty()) return Wrong("queue", "a queue's name");
  return header;
}

absl::Status ReadEnvelope(const Members& members, Envelope* e) {
  std::string kind;
  RETURN_IF_ERROR(members.Text("kind", &kind));
  const auto known = std::ranges::find(kKinds, kind, [](const auto& k) { return k.first; });
  if (known == std::end(kKinds)) return Wrong("kind", "telemetry, will, cloud_to_device or twin_change");
  e->set_kind(known->second);
  RETURN_IF_ERROR(members.Text("device_id", e->mutable_device_id()));
  RETURN_IF_ERROR(members.Text("module_id", e->mutable_module_id(), false));
  RETURN_IF_ERROR(CheckIdentity(*e));
  std::string bag;
  RETURN_IF_ERROR(members.Text("property_bag", &bag));
  RETURN_IF_ERROR(CheckBag(members, bag));
  e->set_property_bag(std::string(mqtt::TrimBag(bag)));
  std::string body;
  RETURN_IF_ERROR(members.Text("body", &body));
  if (!absl::Base64Unescape(absl::string_view(body.data(), body.size()), e->mutable_body())) {
    return Wrong("body", "base64");
  }
  absl::Time received;
  RETURN_IF_ERROR(members.Time("received_at", &received));
  e->set_received_unix_ms(absl::ToUnixMillis(received));
  bool retain = false;
  bool on_behalf = false;
  int64_t hops = 0;
  RETURN_IF_ERROR(members.Flag("retain", &retain));
  RETURN_IF_ERROR(members.Flag("on_behalf", &on_behalf));
  RETURN_IF_ERROR(members.Number("hops", 0, UINT32_MAX, &hops, false));
  RETURN_IF_ERROR(members.Text("input_name", e->mutable_input_name(), false));
  e->set_retain(retain);
  e->set_on_behalf(on_behalf);
  e->set_hops(static_cast<uint32_t>(hops));
  if (e->ByteSizeLong() > kRecordBytesMax) return Wrong("the message", "smaller: the store takes 4 MiB at most");
  return absl::OkStatus();
}

absl::StatusOr<QueueFileMessage> ReadMessage(const Members& members) {
  RETURN_IF_ERROR(members.Only({"sequence", "id", "priority", "ttl_seconds", "appended_at", "received_at", "kind",
                                "device_id", "module_id", "property_bag", "properties", "system_properties", "body",
                                "retain", "input_name", "hops", "on_behalf"}));
  QueueFileMessage message;
  int64_t sequence = 0;
  int64_t priority = 0;
  int64_t ttl = 0;
  RETURN_IF_ERROR(members.Number("sequence", 1, INT64_MAX, &sequence));
  RETURN_IF_ERROR(members.Number("priority", 0, kDefaultLane, &priority));
  RETURN_IF_ERROR(members.Number("ttl_seconds", -1, INT32_MAX, &ttl));
  RETURN_IF_ERROR(members.Text("id", &message.id));
  RETURN_IF_ERROR(members.Time("appended_at", &message.appended_at));
  if (priority > kPriorityMax && priority != kDefaultLane) return Wrong("priority", "0 to 9, or 2000000000");
  if (message.id.empty() || message.id.size() > kIdBytesMax || message.id.find('\0') != std::string::npos) {
    return Wrong("id", "text of 1 to 256 bytes");
  }
  message.sequence = static_cast<uint64_t>(sequence);
  message.priority = static_cast<uint32_t>(priority);
  message.ttl_seconds = static_cast<int32_t>(ttl);
  RETURN_IF_ERROR(ReadEnvelope(members, &message.envelope));
  return message;
}

// What is left of a time to live of the message's own.
int32_t TtlLeft(const store::v1::PeekedRecord& record) {
  if (record.ttl_seconds() <= 0) return record.ttl_seconds();
  const double left = record.ttl_seconds() - absl::ToDoubleSeconds(ToDuration(record.age()));
  return std::max(1, static_cast<int32_t>(std::ceil(left)));
}

}  // namespace

absl::StatusOr<QueueFileMessage> ToQueueFileMessage(const store::v1::PeekedRecord& record,
                                                    const std::string& incarnation) {
  QueueFileMessage message;
  Envelope& e = message.envelope;
  if (!e.ParseFromString(record.record())) return absl::InvalidArgumentError("it is no message");
  if (!IsUtf8(e) || mqtt::CheckBag(e.property_bag()) != mqtt::BagError::kOk || !Envelope::Kind_IsValid(e.kind())) {
    return absl::InvalidArgumentError("it is no message that can be written down");
  }
  e.clear_packet_id();
  message.sequence = record.sequence();
  message.priority = record.priority();
  message.ttl_seconds = TtlLeft(record);
  message.appended_at = ToTime(record.appended_at());
  message.id = fmt::format("{}-{}", incarnation, record.sequence());
  std::string scratch;
  const auto own = e.on_behalf() ? mqtt::FindProperty(e.property_bag(), kIdProperty) : std::nullopt;
  if (own && !own->value.empty() && own->value.size() <= kIdBytesMax) {
    message.id = std::string(mqtt::PercentDecode(own->value, &scratch));
  }
  return message;
}

std::string WriteLine(const QueueFileHeader& header) {
  return LineOf({{"holdfast_export", kVersion},
                 {"id", header.id},
                 {"queue", header.queue},
                 {"incarnation", header.incarnation},
                 {"exported_at", TimeText(header.exported_at)}});
}

std::string WriteLine(const QueueFileMessage& message) {
  const Envelope& e = message.envelope;
  std::string body;
  absl::Base64Escape(absl::string_view(e.body().data(), e.body().size()), &body);
  json line = {{"sequence", message.sequence},
               {"id", message.id},
               {"priority", message.priority},
               {"ttl_seconds", message.ttl_seconds},
               {"appended_at", TimeText(message.appended_at)},
               {"received_at", TimeText(absl::FromUnixMillis(e.received_unix_ms()))},
               {"kind", kKinds[e.kind()].first},
               {"device_id", e.device_id()},
               {"module_id", e.module_id()},
               {"property_bag", e.property_bag()},
               {"properties", PropertiesOf(e.property_bag(), false)},
               {"system_properties", PropertiesOf(e.property_bag(), true)},
               {"body", std::move(body)}};
  if (e.retain()) line["retain"] = true;
  if (!e.input_name().empty()) line["input_name"] = e.input_name();
  if (e.hops() > 0) line["hops"] = e.hops();
  if (e.on_behalf()) line["on_behalf"] = true;
  return LineOf(line);
}

std::string WriteLine(const QueueFileEnd& end) {
  return LineOf({{"messages", end.messages}});
}

absl::StatusOr<QueueFileLine> ReadLine(std::string_view line) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("it is no JSON object");
  const Members members(object);
  if (members.Find("holdfast_export") != nullptr) {
    ASSIGN_OR_RETURN(auto header, ReadHeader(members));
    return QueueFileLine(std::move(header));
  }
  if (members.Find("messages") != nullptr) {
    RETURN_IF_ERROR(members.Only({"messages"}));
    int64_t messages = 0;
    RETURN_IF_ERROR(members.Number("messages", 0, INT64_MAX, &messages));
    return QueueFileLine(QueueFileEnd{static_cast<uint64_t>(messages)});
  }
  ASSIGN_OR_RETURN(auto message, ReadMessage(members));
  return QueueFileLine(std::move(message));
}

void KeepId(const std::string& id, Envelope* envelope) {
  if (envelope->on_behalf() && mqtt::FindProperty(envelope->property_bag(), kIdProperty)) return;
  std::string bag;
  mqtt::BagReader reader(envelope->property_bag());
  while (const auto property = reader.Next()) {
    // A sender's own property of that name gives way, as it does when uplink names the message.
    if (mqtt::DecodesTo(property->key, kIdProperty)) continue;
    if (!bag.empty()) bag += '&';
    bag.append(property->key);
    if (property->has_value) bag.append("=").append(property->value);
  }
  mqtt::AppendProperty(kIdProperty, id, &bag);
  envelope->set_property_bag(std::move(bag));
  envelope->set_on_behalf(true);
}

}  // namespace holdfast::cli
