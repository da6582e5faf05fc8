#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/unique_fd.h"

namespace holdfast::rpc {

inline constexpr mode_t kSocketMode = 0660;

// Who holds the lock on `lock_path` owns the socket: what lies at `socket_path` otherwise is a dead process's. Held
// until the descriptor is closed, and the process ends however it ends. FAILED_PRECONDITION, with what to do, if
// another one holds it.
absl::StatusOr<UniqueFd> LockSocket(const std::string& lock_path, const std::string& socket_path);

// INVALID_ARGUMENT, with what to do, if Linux allows no socket of so long a path.
absl::Status CheckSocketPath(const std::string& socket_path);

}  // namespace holdfast::rpc
