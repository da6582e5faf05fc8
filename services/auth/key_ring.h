// The file with the sealing keys: one key of kSealingKeyBytes, or, while keys are rotated, the new one and behind it
// those that older records may still be sealed with, at most kKeysMax. It is only ever replaced as a whole, so a crash
// leaves the old content or the new one. Changes are made under a lock on its folder.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace holdfast::auth {

inline constexpr size_t kKeysMax = 4;

// NOT_FOUND if there is no such file; otherwise an error that says what is wrong with it (size, mode, unreadable) and
// what to do.
absl::StatusOr<std::vector<std::string>> ReadKeyRing(const std::string& path);

// Makes a random key and the file with it (0600, in a folder of 0700), on disk when this returns. ALREADY_EXISTS if it
// is there.
absl::StatusOr<std::vector<std::string>> MakeKeyRing(const std::string& path);

// Puts a new random key in front, on disk when this returns. FAILED_PRECONDITION if there is more than one already (a
// rotation is under way), or if the file can't be replaced (a docker secret), with what to do instead.
absl::StatusOr<std::vector<std::string>> AddKey(const std::string& path);

// Leaves the first key only, if the file still holds `expected`; FAILED_PRECONDITION otherwise.
absl::Status DropOldKeys(const std::string& path, const std::vector<std::string>& expected);

}  // namespace holdfast::auth
