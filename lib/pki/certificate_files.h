// The folder that `holdfast certs init` makes and auth reads.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::pki {

inline constexpr char kRootCaFile[] = "root_ca.pem";         // what clients must trust
inline constexpr char kRootCaKeyFile[] = "root_ca.key";      // 0600; best kept elsewhere after init
inline constexpr char kDeviceCaFile[] = "device_ca.pem";     // device CA, then root CA
inline constexpr char kDeviceCaKeyFile[] = "device_ca.key";  // 0600; auth signs with it

struct InitCertificatesResult {
  std::vector<std::string> made;  // paths
  std::vector<std::string> kept;  // paths that were there already
};

// Makes what is missing of the four files in `dir` (0700 if new); never overwrites one. `gateway_name` (1-40 bytes)
// goes into the CAs' common names. Can be run again after it was interrupted. FAILED_PRECONDITION if the files that
// exist can't be completed (a certificate without its key, a key that is another certificate's), with what to do.
absl::StatusOr<InitCertificatesResult> InitCertificates(const std::string& dir, const std::string& gateway_name,
                                                        absl::Time now);

}  // namespace holdfast::pki
