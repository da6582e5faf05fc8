#include "tests/hubsim/registry.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"
#include "lib/iothub/user_name.h"

namespace holdfast::hubsim {
namespace {

constexpr size_t kKeyBytesMin = 16;
constexpr size_t kKeyBytesMax = 64;
constexpr int64_t kTicksToUnixEpoch = 621'355'968'000'000'000;  // of 100 ns, since the year 1

absl::Status Invalid(std::string text) {
  return absl::InvalidArgumentError(text);
}

bool IsKey(const std::string& text) {
  std::string bytes;
  return absl::Base64Unescape(text, &bytes) && bytes.size() >= kKeyBytesMin && bytes.size() <= kKeyBytesMax;
}

bool IsThumbprint(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// Checks an authentication as given, and fills in keys that are not.
absl::Status Complete(Authentication* a) {
  switch (a->type) {
    case AuthType::kSas:
      if (a->primary_key.empty()) a->primary_key = NewKey();
      if (a->secondary_key.empty()) a->secondary_key = NewKey();
      if (IsKey(a->primary_key) && IsKey(a->secondary_key)) return absl::OkStatus();
      return Invalid(fmt::format("a symmetric key must be the base64 of {} to {} bytes", kKeyBytesMin, kKeyBytesMax));
    case AuthType::kSelfSigned:
      if (a->primary_thumbprint.empty() && a->secondary_thumbprint.empty())
        return Invalid("selfSigned needs a thumbprint");
      for (const std::string* t : {&a->primary_thumbprint, &a->secondary_thumbprint}) {
        if (!t->empty() && !IsThumbprint(*t)) return Invalid("a thumbprint must be 40 or 64 hexadecimal digits");
      }
      return absl::OkStatus();
    case AuthType::kCertificateAuthority:
    case AuthType::kNone:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

// An edit that says "sas" without keys keeps those that are there, as the SDK's update() means it.
void Take(const Authentication& given, Authentication* out) {
  const bool keeps = given.type == AuthType::kSas && out->type == AuthType::kSas && given.primary_key.empty() &&
                     given.secondary_key.empty();
  if (!keeps) *out = given;
}

// Whether an edit may happen to an identity that has `etag`, or that is not there (null).
absl::Status CheckMatch(const Match& match, const std::string* etag, std::string_view what) {
  if (etag == nullptr) {
    if (match.kind == Match::kCreate || match.kind == Match::kUpsert) return absl::OkStatus();
    return absl::NotFoundError(fmt::format("{} is not registered", what));
  }
  if (match.kind == Match::kCreate) return absl::AlreadyExistsError(fmt::format("{} is registered already", what));
  if (match.kind == Match::kEtag && match.etag != *etag) {
    return absl::FailedPreconditionError(fmt::format("{} has another ETag", what));
  }
  return absl::OkStatus();
}

std::vector<std::string_view> SplitChain(std::string_view chain) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = chain.find(';');
    parts.push_back(chain.substr(0, end));
    if (end == std::string_view::npos) return parts;
    chain.remove_prefix(end + 1);
  }
}

absl::Status Denied(std::string text) {
  return absl::PermissionDeniedError(text);
}

}  // namespace

std::string_view Name(AuthType type) {
  switch (type) {
    case AuthType::kSas:
      return "sas";
    case AuthType::kSelfSigned:
      return "selfSigned";
    case AuthType::kCertificateAuthority:
      return "certificateAuthority";
    case AuthType::kNone:
      return "none";
  }
  return "none";
}

std::string NewKey() {
  std::string bytes(32, '\0');
  ::RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  return absl::Base64Escape(bytes);
}

std::pair<std::string_view, std::string_view> SplitId(std::string_view full_id) {
  const size_t slash = full_id.find('/');
  if (slash == std::string_view::npos) return {full_id, {}};
  return {full_id.substr(0, slash), full_id.substr(slash + 1)};
}

std::string Device::OwnScope() const {
  return is_edge ? fmt::format("ms-azure-iot-edge://{}-{}", device_id, generation_id) : "";
}

std::string Registry::NewGeneration(absl::Time now) {
  return std::to_string(kTicksToUnixEpoch + absl::ToUnixMicros(now) * 10 + static_cast<int64_t>(++counter_ % 10));
}

std::string Registry::NewEtag() {
  return absl::Base64Escape(fmt::format("{:09}", ++counter_));
}

const Device* Registry::FindDevice(std::string_view id) const {
  const auto at = devices_.find(id);
  return at == devices_.end() ? nullptr : &at->second;
}

const Module* Registry::FindModule(std::string_view device_id, std::string_view module_id) const {
  const Device* device = FindDevice(device_id);
  if (device == nullptr) return nullptr;
  const auto at = device->modules.find(std::string(module_id));
  return at == device->modules.end() ? nullptr : &at->second;
}

absl::StatusOr<std::string> Registry::ResolveParent(std::string_view id, const IdentityEdit& edit, bool is_edge) const {
  if (edit.parent.has_value()) return *edit.parent;
  if (edit.parent_scope.has_value()) {
    const std::string& scope = *edit.parent_scope;
    if (scope.empty()) return "";
    for (const auto& [other, device] : devices_) {
      if (device.is_edge && device.OwnScope() == scope) return other;
    }
    return Invalid(fmt::format("no gateway has the scope {}", scope));
  }
  const Device* device = FindDevice(id);
  return device == nullptr ? "" : device->parent;
}

// Gateways on the longest way down from `id`, itself included.
size_t Registry::LayersBelow(std::string_view id) const {
  size_t deepest = 0;
  for (const auto& [child, device] : devices_) {
    if (device.is_edge && device.parent == id) deepest = std::max(deepest, LayersBelow(child));
  }
  return deepest + 1;
}

absl::Status Registry::CheckParent(std::string_view id, std::string_view parent, bool is_edge) const {
  if (parent.empty()) return absl::OkStatus();
  size_t layers = is_edge ? LayersBelow(id) : 0;
  for (std::string_view at = parent; !at.empty();) {
    const Device* device = FindDevice(at);
    if (device == nullptr) return Invalid(fmt::format("the parent {} is not registered", at));
    if (!device->is_edge) return Invalid(fmt::format("the parent {} is no gateway (capabilities.iotEdge)", at));
    if (at == id) return Invalid("a gateway can't be below itself");
    if (++layers > kGatewayLayersMax) {
      return Invalid(fmt::format("gateways can be nested in {} layers at most", kGatewayLayersMax));
    }
    at = device->parent;
  }
  return absl::OkStatus();
}

absl::StatusOr<const Device*> Registry::PutDevice(std::string_view id, const IdentityEdit& edit, const Match& match,
                                                  absl::Time now) {
  if (!iothub::IsId(id)) return Invalid("bad device id");
  const Device* existing = FindDevice(id);
  RETURN_IF_ERROR(CheckMatch(match, existing == nullptr ? nullptr : &existing->etag, fmt::format("device {}", id)));
  if (existing == nullptr && devices_.size() >= devices_max_) {
    return absl::ResourceExhaustedError(fmt::format("the registry holds {} devices at most", devices_max_));
  }
  Device device = existing == nullptr ? Device{.device_id = std::string(id)} : *existing;
  if (edit.enabled) device.enabled = *edit.enabled;
  if (edit.status_reason) device.status_reason = *edit.status_reason;
  if (edit.is_edge) device.is_edge = *edit.is_edge;
  if (edit.authentication) Take(*edit.authentication, &device.authentication);
  RETURN_IF_ERROR(Complete(&device.authentication));
  if (existing != nullptr && existing->is_edge && !device.is_edge) {
    const bool has_children =
        std::any_of(devices_.begin(), devices_.end(), [&](const auto& d) { return d.second.parent == id; });
    if (has_children) return Invalid("a gateway that has children must stay one");
  }
  ASSIGN_OR_RETURN(device.parent, ResolveParent(id, edit, device.is_edge));
  RETURN_IF_ERROR(CheckParent(id, device.parent, device.is_edge));
  if (existing == nullptr) device.generation_id = edit.generation_id ? *edit.generation_id : NewGeneration(now);
  device.etag = edit.etag ? *edit.etag : NewEtag();
  Device& stored = devices_[device.device_id] = std::move(device);
  if (stored.is_edge) {
    for (const std::string_view name : {kEdgeHub, kEdgeAgent}) {
      if (stored.modules.contains(std::string(name))) continue;
      const auto made = PutModule(id, name, {.managed_by = "iotEdge"}, {.kind = Match::kCreate}, now);
      if (!made.ok()) return made.status();
    }
  }
  return &stored;
}

absl::Status Registry::RemoveDevice(std::string_view id, const Match& match) {
  const Device* existing = FindDevice(id);
  if (existing == nullptr) return absl::NotFoundError(fmt::format("device {} is not registered", id));
  RETURN_IF_ERROR(CheckMatch(match, &existing->etag, fmt::format("device {}", id)));
  const std::string gone(id);
  devices_.erase(gone);
  for (auto& [other, device] : devices_) {
    if (device.parent == gone) device.parent.clear();
  }
  return absl::OkStatus();
}

absl::StatusOr<const Module*> Registry::PutModule(std::string_view device_id, std::string_view module_id,
                                                  const IdentityEdit& edit, const Match& match, absl::Time now) {
  if (!iothub::IsId(module_id)) return Invalid("bad module id");
  const auto device = devices_.find(device_id);
  if (device == devices_.end()) return absl::NotFoundError(fmt::format("device {} is not registered", device_id));
  const Module* existing = FindModule(device_id, module_id);
  RETURN_IF_ERROR(CheckMatch(match, existing == nullptr ? nullptr : &existing->etag,
                             fmt::format("module {}/{}", device_id, module_id)));
  if (existing == nullptr && device->second.modules.size() >= kModulesPerDeviceMax) {
    return absl::ResourceExhaustedError(fmt::format("a device has {} modules at most", kModulesPerDeviceMax));
  }
  Module module = existing == nullptr ? Module{.device_id = std::string(device_id), .module_id = std::string(module_id)}
                                      : *existing;
  if (edit.authentication) Take(*edit.authentication, &module.authentication);
  if (edit.managed_by) module.managed_by = *edit.managed_by;
  RETURN_IF_ERROR(Complete(&module.authentication));
  if (existing == nullptr) module.generation_id = edit.generation_id ? *edit.generation_id : NewGeneration(now);
  module.etag = edit.etag ? *edit.etag : NewEtag();
  return &(device->second.modules[module.module_id] = std::move(module));
}

absl::Status Registry::RemoveModule(std::string_view device_id, std::string_view module_id, const Match& match) {
  const Module* existing = FindModule(device_id, module_id);
  if (existing == nullptr)
    return absl::NotFoundError(fmt::format("module {}/{} is not registered", device_id, module_id));
  RETURN_IF_ERROR(CheckMatch(match, &existing->etag, fmt::format("module {}/{}", device_id, module_id)));
  devices_.find(device_id)->second.modules.erase(std::string(module_id));
  return absl::OkStatus();
}

absl::StatusOr<const Device*> Registry::CheckChain(std::string_view chain, std::string_view device_id,
                                                   std::string_view module_id, Leaf leaf) const {
  const Device* at = FindDevice(device_id);
  if (at == nullptr || (!module_id.empty() && FindModule(device_id, module_id) == nullptr)) {
    return absl::NotFoundError(
        fmt::format("{}{}{} is not registered", device_id, module_id.empty() ? "" : "/", module_id));
  }
  std::vector<std::string_view> parts = SplitChain(chain);
  if (parts.size() > kGatewayLayersMax + 2) return Denied("the auth-chain is too long");
  if (!module_id.empty()) {
    if (SplitId(parts[0]) != std::pair(device_id, module_id))
      return Denied("the auth-chain does not begin with the module");
    parts.erase(parts.begin());
  }
  if (parts.empty() || parts[0] != device_id) return Denied("the auth-chain does not go on with the device");
  for (size_t i = 0;; ++i) {
    if (!at->enabled && (i > 0 || leaf == Leaf::kEnabled)) return Denied(fmt::format("{} is disabled", at->device_id));
    if (i + 1 == parts.size()) break;
    if (at->parent != parts[i + 1])
      return Denied(fmt::format("{} is not the parent of {}", parts[i + 1], at->device_id));
    at = FindDevice(at->parent);
    if (at == nullptr) return Denied("the auth-chain has an unknown device");
  }
  if (!at->is_edge) return Denied(fmt::format("{} is no gateway", at->device_id));
  return at;
}

}  // namespace holdfast::hubsim
