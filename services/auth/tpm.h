#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::auth {

// A TPM 2.0 that seals a small secret so that no other TPM opens it, nor the same one once it was cleared. The parent
// is the P-256 storage key of the owner hierarchy (TCG EK/SRK template), made anew from the TPM's seed for each call,
// so nothing is left in the TPM and no handle is taken. The secret has no password and is exempt from the lock-out. On
// the way to the TPM it is encrypted (a salted session), so that who listens on the bus reads nothing. Holds no
// connection between calls; thread-safe.
//
// Errors are FAILED_PRECONDITION, with one sentence that says what is wrong and what to do; never NOT_FOUND.
class Tpm {
 public:
  static constexpr size_t kSecretBytesMax = 128;  // TPM 2.0 Part 2, MAX_SYM_DATA: what every TPM takes

  // How it is reached: a TCTI as tpm2-tss writes it, "device:/dev/tpmrm0".
  explicit Tpm(std::string tcti);

  // A blob (tpm_blob.h). INVALID_ARGUMENT if the secret is empty or too large.
  absl::StatusOr<std::string> Seal(std::string_view secret) const;

  // DATA_LOSS if it is no blob.
  absl::StatusOr<std::string> Unseal(std::string_view blob) const;

 private:
  const std::string tcti_;
};

}  // namespace holdfast::auth
