// Small files that hold keys and certificates: read with a limit, written so that a crash leaves the whole file or
// none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace holdfast::pki {

inline constexpr size_t kFileBytesMax = 1 << 20;

// The whole file. NOT_FOUND if there is none, PERMISSION_DENIED if it may not be read, INVALID_ARGUMENT if it is not a
// regular file or is larger than `bytes_max`. The error names the path and, where one can help, what to do.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max = kFileBytesMax);

// As ReadFile; FAILED_PRECONDITION too if others than the owner may read or write it (a docker secret that only the
// group may read is fine).
absl::StatusOr<std::string> ReadSecretFile(const std::string& path);

// Makes `path` with `bytes` and `mode`, on disk when it returns (temporary file, fsync, link, fsync of the folder).
// ALREADY_EXISTS, and nothing changed, if there is a file of that name: a key is never overwritten.
absl::Status WriteNewFile(const std::string& path, std::string_view bytes, unsigned mode);

// Makes or replaces `path` with `bytes` and `mode`, on disk when it returns (temporary file, fsync, rename, fsync of
// the folder): a crash leaves the old file or the new one.
absl::Status ReplaceFile(const std::string& path, std::string_view bytes, unsigned mode);

// Makes the folder (and its parents); the last one with `mode` if it is new.
absl::Status MakeDirectory(const std::string& path, unsigned mode);

}  // namespace holdfast::pki
