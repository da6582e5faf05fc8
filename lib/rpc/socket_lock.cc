#include "lib/rpc/socket_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/un.h>

#include <cerrno>

#include "lib/base/status.h"

namespace holdfast::rpc {

// The lock outlives the file's name.
absl::StatusOr<UniqueFd> LockSocket(const std::string& lock_path, const std::string& socket_path) {
  UniqueFd fd(::open(lock_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, kSocketMode));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("can't create {}", lock_path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("socket {} is in use by a running process; stop it, or choose another --instance", socket_path));
  }
  return fd;
}

absl::Status CheckSocketPath(const std::string& socket_path) {
  if (socket_path.size() < sizeof(sockaddr_un::sun_path)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("socket path {} is longer than the {} bytes that Linux allows; use a shorter run_dir", socket_path,
                  sizeof(sockaddr_un::sun_path) - 1));
}

}  // namespace holdfast::rpc
