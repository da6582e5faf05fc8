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

std::string Dump(const json& object) {
  return object.dump(-1, ' ', true, json::error_handler_t::replace);
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
  json object{{"device_id", identity.device_id},
              {"module_id", identity.module_id},
              {"enabled", identity.enabled},
              {"primary_key", absl::Base64Escape(identity.primary_key)},
              {"secondary_key", absl::Base64Escape(identity.secondary_key)},
              {"version", identity.version}};
  // What most do not have, and earlier releases did not write.
  if (identity.credential != Credential::kSas) object["credential"] = static_cast<uint64_t>(identity.credential);
  if (!identity.primary_thumbprint.empty()) object["primary_thumbprint"] = identity.primary_thumbprint;
  if (!identity.secondary_thumbprint.empty()) object["secondary_thumbprint"] = identity.secondary_thumbprint;
  if (!identity.generation_id.empty()) object["generation_id"] = identity.generation_id;
  if (identity.is_gateway) object["is_gateway"] = true;
  if (!identity.scope.empty()) object["scope"] = identity.scope;
  if (!identity.parent_scopes.empty()) object["parent_scopes"] = identity.parent_scopes;
  return Dump(object);
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
  if (uint64_t credential = 0; Get(object, "credential", &credential)) {
    // One that a later release knows lets nobody in here.
    identity.credential = credential <= static_cast<uint64_t>(Credential::kCaSigned)
                              ? static_cast<Credential>(credential)
                              : Credential::kNone;
  }
  Get(object, "primary_thumbprint", &identity.primary_thumbprint);
  Get(object, "secondary_thumbprint", &identity.secondary_thumbprint);
  Get(object, "generation_id", &identity.generation_id);
  Get(object, "is_gateway", &identity.is_gateway);
  Get(object, "scope", &identity.scope);
  if (const auto scopes = object.find("parent_scopes"); scopes != object.end() && scopes->is_array()) {
    for (const json& scope : *scopes) {
      if (scope.is_string()) identity.parent_scopes.push_back(scope.get<std::string>());
    }
  }
  return identity;
}

std::string ToText(const SetRecord& record) {
  return Dump({{"generation", record.generation},
               {"prefix", record.prefix},
               {"sealed_version", record.sealed_version},
               {"count", record.count},
               {"source", record.source},
               {"source_hash", record.source_hash},
               {"synced_at", absl::ToUnixMillis(record.synced_at)}});
}

absl::StatusOr<SetRecord> ParseSetRecord(std::string_view text) {
  const json object = Parse(text);
  SetRecord record;
  const bool ok = object.is_object() && Get(object, "generation", &record.generation) &&
                  Get(object, "prefix", &record.prefix) && Get(object, "count", &record.count) &&
                  Get(object, "source_hash", &record.source_hash) && Get(object, "synced_at", &record.synced_at);
  if (!ok) return NotA("a set of identities");
  // What the first release wrote: always a file's, always written whole.
  if (!Get(object, "sealed_version", &record.sealed_version)) record.sealed_version = record.generation;
  if (!Get(object, "source", &record.source)) record.source = kFileSource;
  return record;
}

std::string ToText(const HubCredential& credential) {
  return Dump({{"hub_hostname", credential.hub_hostname},
               {"device_id", credential.device_id},
               {"module_id", credential.module_id},
               {"key", absl::Base64Escape(credential.key)},
               {"gateway_hostname", credential.gateway_hostname}});
}

absl::StatusOr<HubCredential> ParseHubCredential(std::string_view text) {
  const json object = Parse(text);
  HubCredential credential;
  std::string key;
  const bool ok = object.is_object() && Get(object, "hub_hostname", &credential.hub_hostname) &&
                  Get(object, "device_id", &credential.device_id) && Get(object, "module_id", &credential.module_id) &&
                  Get(object, "gateway_hostname", &credential.gateway_hostname) && Get(object, "key", &key) &&
                  absl::Base64Unescape(key, &credential.key);
  if (!ok) return NotA("a hub credential");
  return credential;
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
