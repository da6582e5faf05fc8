// The identities of the hub and the rules that hold between them (IoT Hub contract: identity registry, device scope).
// Pure: no I/O, no clock; it is told the time where an identity is made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::hubsim {

inline constexpr std::string_view kEdgeHub = "$edgeHub";
inline constexpr std::string_view kEdgeAgent = "$edgeAgent";
// Layers of gateways below the topmost one's parentless place, leaves not counted (IoT Hub: nested edge).
inline constexpr size_t kGatewayLayersMax = 5;
inline constexpr size_t kModulesPerDeviceMax = 50;

enum class AuthType : uint8_t { kSas, kSelfSigned, kCertificateAuthority, kNone };
// "sas", "selfSigned", "certificateAuthority", "none".
std::string_view Name(AuthType type);

struct Authentication {
  AuthType type = AuthType::kSas;
  std::string primary_key;  // base64, as everywhere in this API
  std::string secondary_key;
  std::string primary_thumbprint;  // hexadecimal, SHA-1 or SHA-256
  std::string secondary_thumbprint;
};

struct Module {
  std::string device_id;
  std::string module_id;
  std::string generation_id;
  std::string etag;
  std::string managed_by;
  Authentication authentication;
};

struct Device {
  std::string device_id;
  std::string generation_id;
  std::string etag;
  bool enabled = true;
  std::string status_reason;
  bool is_edge = false;
  std::string parent;  // device id of a gateway; empty: none
  Authentication authentication;
  absl::btree_map<std::string, Module> modules;

  // ms-azure-iot-edge://{id}-{generation}, if it is a gateway.
  std::string OwnScope() const;
};

// What a PUT may say of a device or module; what is absent stays as it is, or gets its default in a new identity.
struct IdentityEdit {
  std::optional<bool> enabled;
  std::optional<std::string> status_reason;
  std::optional<bool> is_edge;
  // Either the id of the parent, or its scope; "" = no parent.
  std::optional<std::string> parent;
  std::optional<std::string> parent_scope;
  std::optional<Authentication> authentication;
  std::optional<std::string> managed_by;
  // Given by a registry file only.
  std::optional<std::string> generation_id;
  std::optional<std::string> etag;
};

// The condition of an If-Match header; kUpsert makes or changes.
struct Match {
  enum Kind : uint8_t { kCreate, kAny, kEtag, kUpsert };
  Kind kind = kCreate;
  std::string etag;
};

// Not thread-safe. Errors of all edits: NOT_FOUND; ALREADY_EXISTS (kCreate of what is there); FAILED_PRECONDITION
// (etag); INVALID_ARGUMENT (id, keys, parent); RESOURCE_EXHAUSTED (limits). After an error nothing has changed.
class Registry {
 public:
  explicit Registry(size_t devices_max) : devices_max_(devices_max) {}

  absl::StatusOr<const Device*> PutDevice(std::string_view id, const IdentityEdit& edit, const Match& match,
                                          absl::Time now);
  // Its modules go with it; its children have no parent then.
  absl::Status RemoveDevice(std::string_view id, const Match& match);
  absl::StatusOr<const Module*> PutModule(std::string_view device_id, std::string_view module_id,
                                          const IdentityEdit& edit, const Match& match, absl::Time now);
  absl::Status RemoveModule(std::string_view device_id, std::string_view module_id, const Match& match);

  // Null if there is none. Valid until the next edit.
  const Device* FindDevice(std::string_view id) const;
  const Module* FindModule(std::string_view device_id, std::string_view module_id) const;
  const absl::btree_map<std::string, Device, std::less<>>& devices() const { return devices_; }

  // Whether `chain` ("leaf;edge" or "dev/mod;dev;edge1;…;actor") is true: it begins with that identity, every device in
  // it exists and is enabled, and each one's parent is the next, a gateway. Returns the actor, which is the last.
  // NOT_FOUND if the identity itself is unknown; PERMISSION_DENIED with the reason otherwise. kAnyStatus: the
  // identity's own device may be disabled.
  enum class Leaf : uint8_t { kEnabled, kAnyStatus };
  absl::StatusOr<const Device*> CheckChain(std::string_view chain, std::string_view device_id,
                                           std::string_view module_id, Leaf leaf = Leaf::kEnabled) const;

 private:
  absl::StatusOr<std::string> ResolveParent(std::string_view id, const IdentityEdit& edit, bool is_edge) const;
  absl::Status CheckParent(std::string_view id, std::string_view parent, bool is_edge) const;
  size_t LayersBelow(std::string_view id) const;
  std::string NewGeneration(absl::Time now);
  std::string NewEtag();

  const size_t devices_max_;
  uint64_t counter_ = 0;
  absl::btree_map<std::string, Device, std::less<>> devices_;
};

// 32 random bytes, base64.
std::string NewKey();

// The device and module that stand in "dev" or "dev/mod".
std::pair<std::string_view, std::string_view> SplitId(std::string_view full_id);

}  // namespace holdfast::hubsim
