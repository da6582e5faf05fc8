#include "services/auth/hub_credential.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "lib/base/status.h"
#include "lib/iothub/sas_token.h"
#include "lib/pki/file.h"
#include "services/auth/credential_text.h"
#include "services/auth/identity.h"

namespace holdfast::auth {
namespace {

constexpr size_t kConnectionStringBytesMax = 4096;
constexpr size_t kHostBytesMax = 253;

bool IsHostName(std::string_view name) {
  return !name.empty() && name.size() <= kHostBytesMax && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

std::string SourceOf(const HubCredential& credential) {
  std::string host = credential.hub_hostname;
  std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return absl::ascii_tolower(c); });
  return fmt::format("hub {}/{}", host, credential.device_id);
}

absl::StatusOr<HubCredential> ParseHubConnectionString(std::string_view text, const std::string& path) {
  const auto error = [&path](std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}; expected one line HostName=…;DeviceId=…;ModuleId=$edgeHub;SharedAccessKey=…", path, what));
  };
  while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  if (text.empty()) return error("the file is empty");
  if (text.size() > kConnectionStringBytesMax || text.find('\n') != std::string_view::npos) {
    return error("more than one line");
  }
  HubCredential credential;
  std::string key;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    std::string* target = iothub::EqualsIgnoreCase(name, "HostName")          ? &credential.hub_hostname
                          : iothub::EqualsIgnoreCase(name, "DeviceId")        ? &credential.device_id
                          : iothub::EqualsIgnoreCase(name, "ModuleId")        ? &credential.module_id
                          : iothub::EqualsIgnoreCase(name, "SharedAccessKey") ? &key
                          : iothub::EqualsIgnoreCase(name, "GatewayHostName") ? &credential.gateway_hostname
                                                                              : nullptr;
    if (equals == std::string_view::npos || target == nullptr) return error("a part that is not known");
    if (!target->empty()) return error(fmt::format("{} is there twice", name));
    *target = part.substr(equals + 1);
  }
  if (!IsHostName(credential.hub_hostname)) return error("HostName is missing or malformed");
  if (!IsValidId(credential.device_id)) return error("DeviceId is missing or malformed");
  if (credential.module_id != kHubModuleId) {
    return error("ModuleId must be $edgeHub; the connection string of a device or of another module will not do");
  }
  if (!credential.gateway_hostname.empty() && !IsHostName(credential.gateway_hostname)) {
    return error("GatewayHostName is malformed");
  }
  if (!DecodeKey(key, &credential.key)) {
    return error(
        fmt::format("SharedAccessKey is missing or not the base64 of {} to {} bytes", kKeyBytesMin, kKeyBytesMax));
  }
  return credential;
}

absl::StatusOr<HubCredential> ReadHubConnectionString(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, pki::ReadFile(path, kConnectionStringBytesMax));
  return ParseHubConnectionString(text, path);
}

std::string SignHubToken(const HubCredential& credential, absl::Time expiry) {
  return iothub::MakeSasToken(
      fmt::format("{}/devices/{}/modules/{}", credential.hub_hostname, credential.device_id, credential.module_id),
      credential.key, expiry);
}

}  // namespace holdfast::auth
