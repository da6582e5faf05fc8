// A file with the keys of a service: one key of kKeyBytes, or, while keys are rotated, the new one and behind it those
// that older texts may still be sealed with, at most kKeysMax.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/seal/aes_gcm.h"

namespace holdfast::seal {

inline constexpr size_t kKeysMax = 4;
inline constexpr size_t kKeyIdBytes = 8;

// The keys in `bytes`, the content of `path`. FAILED_PRECONDITION, with what to do, if these are not keys.
absl::StatusOr<std::vector<std::string>> SplitKeys(std::string_view bytes, const std::string& path);

// NOT_FOUND if there is no such file; otherwise an error that says what is wrong with it (size, mode, unreadable) and
// what to do.
absl::StatusOr<std::vector<std::string>> ReadKeyRing(const std::string& path);

// Makes a random key and the file with it (0600, in a folder of 0700), on disk when this returns. ALREADY_EXISTS if it
// is there.
absl::StatusOr<std::vector<std::string>> MakeKeyRing(const std::string& path);

// kKeyBytes of randomness.
absl::StatusOr<std::string> NewKey();

// What names a key and tells nothing about it: the first kKeyIdBytes of SHA-256("holdfast sealing key" | key).
std::string KeyId(std::string_view key);

}  // namespace holdfast::seal
