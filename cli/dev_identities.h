#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/dev_device.h"

namespace holdfast::cli {

// Reads identities.toml at `path` (none = empty) and adds devices dev1…dev<count> with fresh random keys where they are
// missing; what is there stays, comments included. Returns the devices that have a symmetric key, in the order of the
// file. INVALID_ARGUMENT with file and line if the file can't be read.
absl::StatusOr<std::vector<DevDevice>> ProvideDevices(const std::string& path, int count);

}  // namespace holdfast::cli
