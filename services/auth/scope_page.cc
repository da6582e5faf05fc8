#include "services/auth/scope_page.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/iothub/sas_token.h"
#include "services/auth/credential_text.h"

namespace holdfast::auth {
namespace {

using nlohmann::json;

constexpr size_t kTextBytesMax = 1024;  // of a generation id, a scope
constexpr size_t kParentScopesMax = 100;

// Reads one device or module. `what` names it in errors: "device dev1".
class EntryReader {
 public:
  EntryReader(const json& entry, std::string what) : entry_(entry), what_(std::move(what)) {}

  absl::Status Error(std::string_view text) const {
    return absl::InvalidArgumentError(fmt::format("{}: {}", what_, text));
  }

  // Null and absent are the same: an empty text.
  absl::Status Text(const json& object, const char* name, std::string* value) const {
    const auto it = object.find(name);
    if (it == object.end() || it->is_null()) return absl::OkStatus();
    if (!it->is_string()) return Error(fmt::format("{} is not a string", name));
    *value = it->get_ref<const std::string&>();
    if (value->size() > kTextBytesMax) return Error(fmt::format("{} is longer than {} bytes", name, kTextBytesMax));
    return absl::OkStatus();
  }

  // The object under `name`; null if it is null or absent.
  absl::StatusOr<const json*> Object(const json& object, const char* name) const {
    const auto it = object.find(name);
    if (it == object.end() || it->is_null()) return nullptr;
    if (!it->is_object()) return Error(fmt::format("{} is not an object", name));
    return &*it;
  }

  absl::Status Id(const char* name, std::string* value) {
    RETURN_IF_ERROR(Text(entry_, name, value));
    if (!IsValidId(*value)) return Error(fmt::format("{} is no id: {}", name, Printable(*value)));
    return absl::OkStatus();
  }
  void Name(std::string what) { what_ = std::move(what); }

  absl::Status Status(bool* enabled) const {
    std::string status;
    RETURN_IF_ERROR(Text(entry_, "status", &status));
    *enabled = iothub::EqualsIgnoreCase(status, "enabled");
    if (!*enabled && !iothub::EqualsIgnoreCase(status, "disabled"))
      return Error("status is neither enabled nor disabled");
    return absl::OkStatus();
  }

  absl::Status Authentication(Identity* identity) const {
    identity->credential = Credential::kNone;
    ASSIGN_OR_RETURN(const json* authentication, Object(entry_, "authentication"));
    if (authentication == nullptr) return absl::OkStatus();
    std::string type;
    RETURN_IF_ERROR(Text(*authentication, "type", &type));
    if (iothub::EqualsIgnoreCase(type, "sas")) {
      identity->credential = Credential::kSas;
      ASSIGN_OR_RETURN(const json* keys, Object(*authentication, "symmetricKey"));
      if (keys == nullptr) return absl::OkStatus();
      RETURN_IF_ERROR(Secret(*keys, "primaryKey", DecodeKey, &identity->primary_key));
      return Secret(*keys, "secondaryKey", DecodeKey, &identity->secondary_key);
    }
    if (iothub::EqualsIgnoreCase(type, "selfSigned")) {
      identity->credential = Credential::kSelfSigned;
      ASSIGN_OR_RETURN(const json* prints, Object(*authentication, "x509Thumbprint"));
      if (prints == nullptr) return absl::OkStatus();
      RETURN_IF_ERROR(Secret(*prints, "primaryThumbprint", DecodeThumbprint, &identity->primary_thumbprint));
      return Secret(*prints, "secondaryThumbprint", DecodeThumbprint, &identity->secondary_thumbprint);
    }
    if (iothub::EqualsIgnoreCase(type, "certificateAuthority")) identity->credential = Credential::kCaSigned;
    return absl::OkStatus();
  }

  absl::Status Scopes(Identity* identity) const {
    ASSIGN_OR_RETURN(const json* capabilities, Object(entry_, "capabilities"));
    if (capabilities != nullptr) {
      const auto edge = capabilities->find("iotEdge");
      if (edge != capabilities->end() && !edge->is_null()) {
        if (!edge->is_boolean()) return Error("iotEdge is neither true nor false");
        identity->is_gateway = edge->get<bool>();
      }
    }
    RETURN_IF_ERROR(Text(entry_, "deviceScope", &identity->scope));
    const auto scopes = entry_.find("parentScopes");
    if (scopes == entry_.end() || scopes->is_null()) return absl::OkStatus();
    if (!scopes->is_array() || scopes->size() > kParentScopesMax) {
      return Error(fmt::format("parentScopes is not a list of at most {}", kParentScopesMax));
    }
    for (const json& scope : *scopes) {
      if (!scope.is_string() || scope.get_ref<const std::string&>().size() > kTextBytesMax) {
        return Error("parentScopes holds what is not a scope");
      }
      identity->parent_scopes.push_back(scope.get<std::string>());
    }
    return absl::OkStatus();
  }

 private:
  template <typename Decode>
  absl::Status Secret(const json& object, const char* name, Decode decode, std::string* value) const {
    std::string text;
    RETURN_IF_ERROR(Text(object, name, &text));
    if (text.empty() || decode(text, value)) return absl::OkStatus();
    value->clear();
    return Error(fmt::format("{} is malformed", name));
  }

  const json& entry_;
  std::string what_;
};

absl::StatusOr<Identity> ReadDevice(const json& entry, size_t index) {
  EntryReader reader(entry, fmt::format("device {} of the page", index));
  if (!entry.is_object()) return reader.Error("not an object");
  Identity identity;
  RETURN_IF_ERROR(reader.Id("deviceId", &identity.device_id));
  reader.Name(fmt::format("device {}", identity.device_id));
  RETURN_IF_ERROR(reader.Text(entry, "generationId", &identity.generation_id));
  RETURN_IF_ERROR(reader.Status(&identity.enabled));
  RETURN_IF_ERROR(reader.Authentication(&identity));
  RETURN_IF_ERROR(reader.Scopes(&identity));
  return identity;
}

absl::StatusOr<Identity> ReadModule(const json& entry, size_t index) {
  EntryReader reader(entry, fmt::format("module {} of the page", index));
  if (!entry.is_object()) return reader.Error("not an object");
  Identity identity;
  RETURN_IF_ERROR(reader.Id("deviceId", &identity.device_id));
  RETURN_IF_ERROR(reader.Id("moduleId", &identity.module_id));
  reader.Name(fmt::format("module {}", FullId(identity)));
  RETURN_IF_ERROR(reader.Text(entry, "generationId", &identity.generation_id));
  RETURN_IF_ERROR(reader.Authentication(&identity));
  return identity;
}

absl::Status ReadList(const json& page, const char* name, absl::StatusOr<Identity> (*read)(const json&, size_t),
                      IdentityMap* identities) {
  const auto list = page.find(name);
  if (list == page.end()) return absl::InvalidArgumentError(fmt::format("the page has no {}", name));
  if (list->is_null()) return absl::OkStatus();
  if (!list->is_array()) return absl::InvalidArgumentError(fmt::format("the page's {} is not a list", name));
  for (size_t i = 0; i < list->size(); ++i) {
    ASSIGN_OR_RETURN(Identity identity, read((*list)[i], i));
    std::string id = FullId(identity);
    if (identities->contains(id)) return absl::InvalidArgumentError(fmt::format("{} is in the page twice", id));
    identities->emplace(std::move(id), std::move(identity));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IdentityMap> ParseScopePage(std::string_view text) {
  if (text.size() > kScopePageBytesMax) {
    return absl::InvalidArgumentError(fmt::format("the page has more than {} bytes", kScopePageBytesMax));
  }
  const json page = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!page.is_object()) return absl::InvalidArgumentError("the page is not a JSON object");
  IdentityMap identities;
  RETURN_IF_ERROR(ReadList(page, "devices", ReadDevice, &identities));
  RETURN_IF_ERROR(ReadList(page, "modules", ReadModule, &identities));
  return identities;
}

}  // namespace holdfast::auth
