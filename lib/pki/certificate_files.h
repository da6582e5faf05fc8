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

// A CA of the operator's own, to sign the device CA: its certificate, then what signed it up to and including the root,
// in one PEM file; and its key.
struct IssuerFiles {
  std::string certificate_file;
  std::string key_file;
};

// Makes what is missing of the four files in `dir` (0700 if new); never overwrites one. `gateway_name` (1-40 bytes)
// goes into the CAs' common names. With `issuer` the device CA is signed by that one, root_ca.pem is its root, and no
// root key is made or copied. Can be run again after it was interrupted. FAILED_PRECONDITION if the files that exist
// can't be completed (a certificate without its key, a key that is another certificate's, another root than the
// issuer's), or if the issuer can't sign a CA, with what to do.
absl::StatusOr<InitCertificatesResult> InitCertificates(const std::string& dir, const std::string& gateway_name,
                                                        absl::Time now, const IssuerFiles* issuer = nullptr);

// Makes the device CA's certificate anew, for the same key and name, so that what it signed stays good, and replaces
// device_ca.pem. Without `issuer` root_ca.key signs. Gives the end of the new one. FAILED_PRECONDITION, with what to
// do, if there is no device CA or nothing to sign it with, and if it would not end later than the one in place.
absl::StatusOr<absl::Time> RenewDeviceCa(const std::string& dir, absl::Time now, const IssuerFiles* issuer = nullptr);

inline constexpr char kServerFile[] = "server.pem";     // the leaf, then the CAs below the root
inline constexpr char kServerKeyFile[] = "server.key";  // 0600

// Makes a server certificate and its key in `out_dir`, signed by the device CA in `dir`. `names`: as
// MakeServerCertificate's. ALREADY_EXISTS if one of the two files is there. Gives its end.
absl::StatusOr<absl::Time> IssueServerFiles(const std::string& dir, const std::string& out_dir,
                                            const std::vector<std::string>& names, absl::Time now);

}  // namespace holdfast::pki
