// The gateway's own identity at its hub, and where it comes from: a file with one line,
//
//   HostName=hub.example;DeviceId=edge1;ModuleId=$edgeHub;SharedAccessKey=base64…[;GatewayHostName=parent.example]
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace holdfast::auth {

inline constexpr char kHubModuleId[] = "$edgeHub";  // IoT Hub contract: a gateway acts as this module

struct HubCredential {
  std::string hub_hostname;
  std::string device_id;
  std::string module_id;
  std::string key;               // decoded; secret
  std::string gateway_hostname;  // the parent to connect to; empty = the hub itself

  bool operator==(const HubCredential&) const = default;
};

// What names the source of identities in a SetRecord: "hub hub.example/edge1".
std::string SourceOf(const HubCredential& credential);

// INVALID_ARGUMENT with what is wrong, never with the key. `path` is for the text of errors only.
absl::StatusOr<HubCredential> ParseHubConnectionString(std::string_view text, const std::string& path);

// NOT_FOUND if there is no such file.
absl::StatusOr<HubCredential> ReadHubConnectionString(const std::string& path);

// A token of the credential's identity at its hub, at most until `expiry` (whole seconds).
std::string SignHubToken(const HubCredential& credential, absl::Time expiry);

// The credential in force, as soon as there is one. Thread-safe.
class HubIdentity {
 public:
  // Null if there is none.
  std::shared_ptr<const HubCredential> Get() const {
    absl::MutexLock lock(&mutex_);
    return credential_;
  }
  void Set(HubCredential credential) {
    auto made = std::make_shared<const HubCredential>(std::move(credential));
    absl::MutexLock lock(&mutex_);
    credential_ = std::move(made);
  }

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<const HubCredential> credential_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::auth
