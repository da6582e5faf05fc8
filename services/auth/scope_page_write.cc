// The other direction of scope_page.cc. Keys are written by hand and not by the JSON library, which would leave copies
// of them in memory that nobody wipes.
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <nlohmann/json.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "services/auth/scope_page.h"

namespace holdfast::auth {
namespace {

using nlohmann::json;

// Room for what one identity takes, so that the text does not move while it grows: what it moved from is not wiped.
constexpr size_t kIdentityBytes = 4 << 10;

std::string Quoted(std::string_view text) {
  return json(std::string(text)).dump(-1, ' ', true, json::error_handler_t::replace);
}

void AppendKey(const char* name, const std::string& key, std::string* out) {
  std::string base64 = absl::Base64Escape(key);
  const absl::Cleanup wipe = [&base64] { OPENSSL_cleanse(base64.data(), base64.size()); };
  out->append("\"").append(name).append("\":");
  key.empty() ? out->append("null") : out->append("\"").append(base64).append("\"");
}

void AppendThumbprint(const char* name, const std::string& thumbprint, std::string* out) {
  *out += fmt::format("\"{}\":{}", name, thumbprint.empty() ? "null" : Quoted(thumbprint));
}

void AppendAuthentication(const Identity& identity, std::string* out) {
  *out += "\"authentication\":{\"type\":";
  switch (identity.credential) {
    case Credential::kSas:
      *out += "\"sas\",\"symmetricKey\":{";
      AppendKey("primaryKey", identity.primary_key, out);
      *out += ",";
      AppendKey("secondaryKey", identity.secondary_key, out);
      *out += "}}";
      return;
    case Credential::kSelfSigned:
      *out += "\"selfSigned\",\"x509Thumbprint\":{";
      AppendThumbprint("primaryThumbprint", identity.primary_thumbprint, out);
      *out += ",";
      AppendThumbprint("secondaryThumbprint", identity.secondary_thumbprint, out);
      *out += "}}";
      return;
    case Credential::kCaSigned:
      *out += "\"certificateAuthority\"}";
      return;
    case Credential::kNone:
      *out += "\"none\"}";
      return;
  }
}

void AppendDevice(const Identity& device, std::string* out) {
  *out += fmt::format("{{\"deviceId\":{},\"generationId\":{},\"status\":\"{}\",", Quoted(device.device_id),
                      Quoted(device.generation_id), device.enabled ? "enabled" : "disabled");
  AppendAuthentication(device, out);
  *out += fmt::format(",\"capabilities\":{{\"iotEdge\":{}}},\"deviceScope\":{},\"parentScopes\":{}}}",
                      device.is_gateway, device.scope.empty() ? "null" : Quoted(device.scope),
                      json(device.parent_scopes).dump(-1, ' ', true, json::error_handler_t::replace));
}

void AppendModule(const Identity& module, std::string* out) {
  *out += fmt::format("{{\"moduleId\":{},\"deviceId\":{},\"generationId\":{},", Quoted(module.module_id),
                      Quoted(module.device_id), Quoted(module.generation_id));
  AppendAuthentication(module, out);
  *out += "}";
}

}  // namespace

std::string WriteScopePage(const std::vector<const Identity*>& identities, std::string_view continuation) {
  std::string page;
  page.reserve((identities.size() + 1) * kIdentityBytes);
  const auto list = [&](const char* name, bool modules, void (*append)(const Identity&, std::string*)) {
    page += fmt::format("\"{}\":[", name);
    bool first = true;
    for (const Identity* identity : identities) {
      if (identity->module_id.empty() == modules) continue;
      if (!std::exchange(first, false)) page += ",";
      append(*identity, &page);
    }
    page += "],";
  };
  page += "{";
  list("devices", false, AppendDevice);
  list("modules", true, AppendModule);
  page += fmt::format("\"continuationLink\":{}}}", continuation.empty() ? "null" : Quoted(continuation));
  return page;
}

}  // namespace holdfast::auth
