#include "services/auth/identity_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"

namespace holdfast::auth {
namespace {

using nlohmann::json;

json Parse(std::string_view text) {
  return json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

absl::Status NotA(std::string_view what) {
  return absl::DataLossError(fmt::format("not the record of {}", what));
}

// False if there is no such field or it is of another type.
bool Get(const json& object, const char* name, std::string* value) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) return false;
  *value = it->get_ref<const std::string&>();
  return true;
}
bool Get(const json& object, const char* name, uint64_t* value) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_number_unsigned()) return false;
  *value = it->get<uint64_t>();
  return true;
}
bool Get(const json& object, const char* name, bool* value) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_boolean()) return false;
  *value = it->get<bool>();
  return true;
}
bool Get(const json& object, const char* name, absl::Time* value) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_number_integer()) return false;
  *value = absl::FromUnixMillis(it->get<int64_t>());
  return true;
}

}  // namespace

std::string ToText(const Identity& identity) {
  return json{{"device_id", identity.device_id},
              {"module_id", identity.module_id},
              {"enabled", identity.enabled},
              {"primary_key", absl::Base64Escape(identity.primary_key)},
              {"secondary_key", absl::Base64Escape(identity.secondary_key)},
              {"version", identity.version}}
      .dump(-1, ' ', true, json::error_handler_t::replace);
}

absl::StatusOr<Identity> ParseIdentity(std::string_view text) {
  const json object = Parse(text);
  Identity identity;
  std::string primary, secondary;
  const bool ok = object.is_object() && Get(object, "device_id", &identity.device_id) &&
                  Get(object, "module_id", &identity.module_id) && Get(object, "enabled", &identity.enabled) &&
                  Get(object, "primary_key", &primary) && Get(object, "secondary_key", &secondary) &&
                  Get(object, "version", &identity.version) && absl::Base64Unescape(primary, &identity.primary_key) &&
                  absl::Base64Unescape(secondary, &identity.secondary_key);
  if (!ok) return NotA("an identity");
  return identity;
}

std::string ToText(const SetRecord& record) {
  return json{{"generation", record.generation},
              {"prefix", record.prefix},
              {"count", record.count},
              {"source_hash", record.source_hash},
              {"synced_at", absl::ToUnixMillis(record.synced_at)}}
      .dump(-1, ' ', true, json::error_handler_t::replace);
}

absl::StatusOr<SetRecord> ParseSetRecord(std::string_view text) {
  const json object = Parse(text);
  SetRecord record;
  const bool ok = object.is_object() && Get(object, "generation", &record.generation) &&
                  Get(object, "prefix", &record.prefix) && Get(object, "count", &record.count) &&
                  Get(object, "source_hash", &record.source_hash) && Get(object, "synced_at", &record.synced_at);
  if (!ok) return NotA("a set of identities");
  return record;
}

std::string ToText(const TrustedClock::Marks& marks) {
  json object = json::object();
  if (marks.synchronized != absl::InfinitePast()) object["synchronized"] = absl::ToUnixMillis(marks.synchronized);
  if (marks.plausible != absl::InfinitePast()) object["plausible"] = absl::ToUnixMillis(marks.plausible);
  return object.dump();
}

absl::StatusOr<TrustedClock::Marks> ParseMarks(std::string_view text) {
  const json object = Parse(text);
  if (!object.is_object()) return NotA("a clock");
  TrustedClock::Marks marks;
  Get(object, "synchronized", &marks.synchronized);
  Get(object, "plausible", &marks.plausible);
  return marks;
}

}  // namespace holdfast::auth
