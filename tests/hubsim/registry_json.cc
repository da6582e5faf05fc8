#include "tests/hubsim/registry_json.h"

#include <fmt/format.h>

#include "lib/base/status.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

absl::Status Invalid(std::string text) {
  return absl::InvalidArgumentError(text);
}

json OrNull(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

json AuthenticationJson(const Authentication& a) {
  const bool sas = a.type == AuthType::kSas;
  return {
      {"type", Name(a.type)},
      {"symmetricKey",
       {{"primaryKey", sas ? OrNull(a.primary_key) : json()},
        {"secondaryKey", sas ? OrNull(a.secondary_key) : json()}}},
      {"x509Thumbprint",
       {{"primaryThumbprint", OrNull(a.primary_thumbprint)}, {"secondaryThumbprint", OrNull(a.secondary_thumbprint)}}}};
}

// Takes the text at key; null and absent leave *out alone. False: another type.
bool TakeText(const json& object, const char* key, std::string* out) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return true;
  if (!at->is_string()) return false;
  *out = at->get<std::string>();
  return true;
}

bool TakeObject(const json& object, const char* key, json* out) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) {
    *out = json::object();
    return true;
  }
  *out = *at;
  return at->is_object();
}

absl::StatusOr<Authentication> AuthenticationFromJson(const json& body) {
  if (!body.is_object()) return Invalid("authentication must be an object");
  json keys, thumbprints;
  std::string type;
  Authentication a;
  const bool ok = TakeObject(body, "symmetricKey", &keys) && TakeObject(body, "x509Thumbprint", &thumbprints) &&
                  TakeText(body, "type", &type) && TakeText(keys, "primaryKey", &a.primary_key) &&
                  TakeText(keys, "secondaryKey", &a.secondary_key) &&
                  TakeText(thumbprints, "primaryThumbprint", &a.primary_thumbprint) &&
                  TakeText(thumbprints, "secondaryThumbprint", &a.secondary_thumbprint);
  if (!ok) return Invalid("authentication has a field of the wrong type");
  const bool has_thumbprint = !a.primary_thumbprint.empty() || !a.secondary_thumbprint.empty();
  if (type.empty()) type = has_thumbprint ? "selfSigned" : "sas";
  if (type == "sas") {
    a.type = AuthType::kSas;
  } else if (type == "selfSigned") {
    a.type = AuthType::kSelfSigned;
  } else if (type == "certificateAuthority") {
    a.type = AuthType::kCertificateAuthority;
  } else if (type == "none") {
    a.type = AuthType::kNone;
  } else {
    return Invalid("authentication.type must be sas, selfSigned, certificateAuthority or none");
  }
  if (a.type != AuthType::kSas) a.primary_key = a.secondary_key = "";
  if (a.type != AuthType::kSelfSigned) a.primary_thumbprint = a.secondary_thumbprint = "";
  return a;
}

// deviceScope and parentScopes say the same of a leaf; of a gateway, deviceScope is its own.
absl::Status TakeParent(const json& body, const Device* existing, IdentityEdit* edit) {
  if (const auto at = body.find("parent"); at != body.end()) {
    if (!at->is_string()) return Invalid("parent must be a device id");
    edit->parent = at->get<std::string>();
    return absl::OkStatus();
  }
  std::optional<std::string> scope;
  if (const auto at = body.find("parentScopes"); at != body.end() && !at->is_null()) {
    if (!at->is_array() || at->size() > 1) return Invalid("parentScopes: a device has one parent at most");
    if (!at->empty() && !at->front().is_string()) return Invalid("parentScopes must hold text");
    scope = at->empty() ? "" : at->front().get<std::string>();
  }
  const bool is_edge = edit->is_edge.value_or(existing != nullptr && existing->is_edge);
  if (const auto at = body.find("deviceScope"); !is_edge && at != body.end() && !at->is_null()) {
    if (!at->is_string()) return Invalid("deviceScope must be text");
    const std::string device_scope = at->get<std::string>();
    if (scope && !scope->empty() && !device_scope.empty() && *scope != device_scope) {
      return Invalid("deviceScope and parentScopes name different parents");
    }
    if (!scope || scope->empty()) scope = device_scope;
  }
  if (scope) edit->parent_scope = *scope;
  return absl::OkStatus();
}

}  // namespace

json DeviceJson(const Device& device, const Registry& registry, const Presence& presence) {
  json out = ScopeDeviceJson(device, registry);
  out["connectionState"] = presence.connected ? "Connected" : "Disconnected";
  out["statusReason"] = OrNull(device.status_reason);
  out["connectionStateUpdatedTime"] = "0001-01-01T00:00:00Z";
  out["statusUpdatedTime"] = "0001-01-01T00:00:00Z";
  out["lastActivityTime"] = "0001-01-01T00:00:00Z";
  out["cloudToDeviceMessageCount"] = presence.cloud_to_device_messages;
  return out;
}

json ModuleJson(const Module& module, const Presence& presence) {
  json out = ScopeModuleJson(module);
  out["connectionState"] = presence.connected ? "Connected" : "Disconnected";
  out["connectionStateUpdatedTime"] = "0001-01-01T00:00:00Z";
  out["lastActivityTime"] = "0001-01-01T00:00:00Z";
  out["cloudToDeviceMessageCount"] = 0;
  return out;
}

json ScopeDeviceJson(const Device& device, const Registry& registry) {
  const Device* parent = registry.FindDevice(device.parent);
  const std::string parent_scope = parent == nullptr ? "" : parent->OwnScope();
  json out = {{"deviceId", device.device_id},
              {"generationId", device.generation_id},
              {"etag", device.etag},
              {"status", device.enabled ? "enabled" : "disabled"},
              {"authentication", AuthenticationJson(device.authentication)},
              {"capabilities", {{"iotEdge", device.is_edge}}},
              {"parentScopes", parent_scope.empty() ? json::array() : json::array({parent_scope})}};
  const std::string scope = device.is_edge ? device.OwnScope() : parent_scope;
  if (!scope.empty()) out["deviceScope"] = scope;
  return out;
}

json ScopeModuleJson(const Module& module) {
  return {{"moduleId", module.module_id},           {"deviceId", module.device_id},
          {"generationId", module.generation_id},   {"etag", module.etag},
          {"managedBy", OrNull(module.managed_by)}, {"authentication", AuthenticationJson(module.authentication)}};
}

absl::StatusOr<IdentityEdit> EditFromJson(const json& body, const Device* existing) {
  if (!body.is_object()) return Invalid("the body must be a JSON object");
  IdentityEdit edit;
  std::string text;
  if (!TakeText(body, "status", &text)) return Invalid("status must be text");
  if (!text.empty()) {
    if (text != "enabled" && text != "disabled") return Invalid("status must be enabled or disabled");
    edit.enabled = text == "enabled";
  }
  if (body.contains("statusReason")) {
    if (!TakeText(body, "statusReason", &edit.status_reason.emplace())) return Invalid("statusReason must be text");
  }
  if (body.contains("managedBy")) {
    if (!TakeText(body, "managedBy", &edit.managed_by.emplace())) return Invalid("managedBy must be text");
  }
  json capabilities;
  if (!TakeObject(body, "capabilities", &capabilities)) return Invalid("capabilities must be an object");
  if (const auto at = capabilities.find("iotEdge"); at != capabilities.end()) {
    if (!at->is_boolean()) return Invalid("capabilities.iotEdge must be true or false");
    edit.is_edge = at->get<bool>();
  }
  if (const auto at = body.find("authentication"); at != body.end() && !at->is_null()) {
    ASSIGN_OR_RETURN(edit.authentication, AuthenticationFromJson(*at));
  }
  RETURN_IF_ERROR(TakeParent(body, existing, &edit));
  return edit;
}

namespace {

absl::StatusOr<std::string> IdAt(const json& object, const char* key) {
  std::string id;
  if (!object.is_object() || !TakeText(object, key, &id) || id.empty()) {
    return Invalid(fmt::format("an entry has no {}", key));
  }
  return id;
}

absl::StatusOr<IdentityEdit> EditFromFile(const json& entry) {
  ASSIGN_OR_RETURN(IdentityEdit edit, EditFromJson(entry, nullptr));
  std::string generation, etag;
  if (!TakeText(entry, "generationId", &generation) || !TakeText(entry, "etag", &etag)) {
    return Invalid("generationId and etag must be text");
  }
  if (!generation.empty()) edit.generation_id = generation;
  if (!etag.empty()) edit.etag = etag;
  return edit;
}

absl::Status LoadModules(const json& entry, const std::string& device_id, absl::Time now, Registry* registry) {
  const auto modules = entry.find("modules");
  if (modules == entry.end()) return absl::OkStatus();
  if (!modules->is_array()) return Invalid("modules must be an array");
  for (const json& module : *modules) {
    ASSIGN_OR_RETURN(const std::string id, IdAt(module, "moduleId"));
    ASSIGN_OR_RETURN(IdentityEdit edit, EditFromFile(module));
    // The gateway's own two are there already, with another generation.
    if (registry->FindModule(device_id, id) != nullptr) {
      RETURN_IF_ERROR(registry->RemoveModule(device_id, id, {.kind = Match::kAny}));
    }
    const auto put = registry->PutModule(device_id, id, edit, {.kind = Match::kCreate}, now);
    if (!put.ok()) return Annotate(put.status(), fmt::format("module {}/{}", device_id, id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadRegistry(const json& file, absl::Time now, Registry* registry) {
  const auto devices = file.is_object() ? file.find("devices") : file.end();
  if (!file.is_object() || devices == file.end() || !devices->is_array()) {
    return Invalid("a registry file is {\"devices\":[…]}");
  }
  // Parents last: they may stand behind their children.
  std::vector<std::pair<std::string, IdentityEdit>> parents;
  for (const json& entry : *devices) {
    ASSIGN_OR_RETURN(const std::string id, IdAt(entry, "deviceId"));
    auto edit = EditFromFile(entry);
    if (!edit.ok()) return Annotate(edit.status(), fmt::format("device {}", id));
    IdentityEdit parent{.parent = edit->parent, .parent_scope = edit->parent_scope, .etag = edit->etag};
    if (parent.parent || parent.parent_scope) parents.emplace_back(id, std::move(parent));
    edit->parent.reset();
    edit->parent_scope.reset();
    const auto put = registry->PutDevice(id, *edit, {.kind = Match::kCreate}, now);
    if (!put.ok()) return Annotate(put.status(), fmt::format("device {}", id));
    RETURN_IF_ERROR(LoadModules(entry, id, now, registry));
  }
  for (const auto& [id, edit] : parents) {
    const auto put = registry->PutDevice(id, edit, {.kind = Match::kAny}, now);
    if (!put.ok()) return Annotate(put.status(), fmt::format("parent of {}", id));
  }
  return absl::OkStatus();
}

json SaveRegistry(const Registry& registry) {
  json devices = json::array();
  for (const auto& [id, device] : registry.devices()) {
    json entry = ScopeDeviceJson(device, registry);
    entry.erase("deviceScope");
    entry.erase("parentScopes");
    if (!device.parent.empty()) entry["parent"] = device.parent;
    if (!device.status_reason.empty()) entry["statusReason"] = device.status_reason;
    entry["modules"] = json::array();
    for (const auto& [name, module] : device.modules) entry["modules"].push_back(ScopeModuleJson(module));
    devices.push_back(std::move(entry));
  }
  return {{"devices", std::move(devices)}};
}

}  // namespace holdfast::hubsim
