// What modules encrypt at rest with the workload API. A ciphertext is
//
//   byte  0       format, 1
//   bytes 1-16    salt, random
//   then          AES-256-GCM ciphertext, as long as the plaintext
//   last 16       tag
//
// Key and nonce: HKDF-SHA256 of the gateway's workload secret with that salt, for module, generation and the caller's
// initialization vector, each with its length. So an initialization vector that a module uses twice costs nothing, and
// what one module encrypted opens for no other, nor for a later module of the same name.
#pragma once

#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace holdfast::auth {

inline constexpr size_t kWorkloadSecretBytes = 32;
inline constexpr size_t kWorkloadOverheadBytes = 1 + 16 + 16;

// kWorkloadSecretBytes random ones.
std::string MakeWorkloadSecret();

// Who encrypts.
struct WorkloadOwner {
  std::string_view module_id;
  std::string_view generation_id;
};

// The gateway's secret for its modules: random, made once, sealed in the store as the identities are, so that it
// outlives restarts and changes of the sealing key. Thread-safe.
class WorkloadSecret {
 public:
  // kWorkloadSecretBytes; from then on it can be used.
  void Set(std::string secret);

  // UNAVAILABLE before Set().
  absl::StatusOr<std::string> Encrypt(const WorkloadOwner& owner, std::string_view initialization_vector,
                                      std::string_view plaintext) const;

  // UNAVAILABLE before Set(); INVALID_ARGUMENT for what Encrypt() did not make for this owner and vector.
  absl::StatusOr<std::string> Decrypt(const WorkloadOwner& owner, std::string_view initialization_vector,
                                      std::string_view ciphertext) const;

 private:
  absl::StatusOr<std::string> Get() const;

  mutable absl::Mutex mutex_;
  std::string secret_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::auth
