// identities.toml: what the gateway is told of its devices and modules before it ever spoke to a hub.
//
//   [[identity]]
//   device_id = "dev1"
//   module_id = "mod1"          # absent for a device
//   status = "enabled"          # or "disabled"; enabled by default
//   primary_key = "base64…"     # 16-64 bytes; a module may go without: then its device's keys count
//   secondary_key = "base64…"   # optional
//
// Instead of keys a device may have one of
//
//   thumbprints = ["hex…"]      # one or two, SHA-1 or SHA-256 of its certificate
//   ca_signed = true            # a certificate of a trusted CA, with device_id as common name
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

inline constexpr size_t kProvisioningFileBytesMax = 16 << 20;

struct ProvisioningFile {
  IdentityMap identities;
  std::string hash;  // SHA-256 of the bytes, hexadecimal
};

// INVALID_ARGUMENT "identities.toml:12: …" for the first thing that is wrong, unknown keys included; never with a key's
// value. `path` is for the text of errors only.
absl::StatusOr<ProvisioningFile> ParseProvisioningFile(std::string_view text, const std::string& path);

// NOT_FOUND if there is no such file. Warns in the log if everybody may read it.
absl::StatusOr<ProvisioningFile> ReadProvisioningFile(const std::string& path);

}  // namespace holdfast::auth
