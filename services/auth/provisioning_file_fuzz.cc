#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/auth/provisioning_file.h"

// No text crashes the reader, and every identity that it accepts is complete.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::auth;
  const auto file =
      ParseProvisioningFile(std::string_view(reinterpret_cast<const char*>(data), size), "identities.toml");
  if (!file.ok()) return 0;
  for (const auto& [id, identity] : file->identities) {
    if (!IsValidId(identity.device_id) ||
        (identity.module_id.empty() && identity.credential == Credential::kSas && identity.primary_key.empty()))
      std::abort();
  }
  return 0;
}
