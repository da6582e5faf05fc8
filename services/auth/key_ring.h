// Rotation of the keys in the file of sealing keys (lib/seal/key_ring.h) while auth runs. The file is only ever
// replaced as a whole, so a crash leaves the old content or the new one. Changes are made under a lock on its folder.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace holdfast::auth {

// Puts a new random key in front, on disk when this returns. FAILED_PRECONDITION if there is more than one already (a
// rotation is under way), or if the file can't be replaced (a docker secret), with what to do instead.
absl::StatusOr<std::vector<std::string>> AddKey(const std::string& path);

// Leaves the first key only, if the file still holds `expected`; FAILED_PRECONDITION otherwise.
absl::Status DropOldKeys(const std::string& path, const std::vector<std::string>& expected);

}  // namespace holdfast::auth
