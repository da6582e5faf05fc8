#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/dev_device.h"

namespace holdfast::cli {

struct DevIdentities {
  std::vector<DevDevice> devices;  // that have a symmetric key, in the order of the file
  std::vector<DevModule> modules;  // likewise
};

// Reads identities.toml at `path` (none = empty) and adds devices dev1…dev<devices> and modules mod1…mod<modules> of
// kOwnDevice with fresh random keys where they are missing; what is there stays, comments included. INVALID_ARGUMENT
// with file and line if the file can't be read.
absl::StatusOr<DevIdentities> ProvideIdentities(const std::string& path, int devices, int modules);

}  // namespace holdfast::cli
