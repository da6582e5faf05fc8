// A secret that a TPM has sealed, as it lies in a file:
//
//   "holdfast tpm 1\n"
//   TPM2B_PUBLIC     size (2 bytes, big endian), then as many bytes
//   TPM2B_PRIVATE    likewise
//
// Both parts are what TPM 2.0's Create() gives and Load() takes (TPM 2.0 Part 2, 12.2.5 and 12.3.7). Neither is secret.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::auth {

inline constexpr size_t kTpmPartBytesMax = 2048;  // a part, its size included; TPMs give less than half

// The parts with their sizes in front, as the TPM's library reads them.
struct TpmBlob {
  std::string public_area;
  std::string private_area;
};

// Whether this was meant to be a blob, whole or not.
bool LooksLikeTpmBlob(std::string_view bytes);

std::string WriteTpmBlob(const TpmBlob& blob);

// DATA_LOSS unless it is exactly one blob.
absl::StatusOr<TpmBlob> ReadTpmBlob(std::string_view bytes);

}  // namespace holdfast::auth
