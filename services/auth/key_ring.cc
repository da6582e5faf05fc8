#include "services/auth/key_ring.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <filesystem>

#include "lib/base/status.h"
#include "lib/base/unique_fd.h"
#include "lib/pki/file.h"
#include "lib/seal/key_ring.h"

namespace holdfast::auth {
namespace {

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Held until it is closed; another instance of auth may want to change the file too.
absl::StatusOr<UniqueFd> Lock(const std::string& path) {
  UniqueFd folder(::open(Folder(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::flock(folder.get(), LOCK_EX) != 0) {
    return ErrnoStatus(errno, fmt::format("can't lock the folder {}", Folder(path)));
  }
  return folder;
}

absl::Status Replace(const std::string& path, const std::vector<std::string>& keys) {
  std::string bytes;
  for (const std::string& key : keys) bytes += key;
  const absl::Status status = pki::ReplaceFile(path, bytes, 0600);
  if (status.ok()) return status;
  return absl::FailedPreconditionError(fmt::format(
      "{}; if the file is a secret that auth can't change, make a new one of {} random bytes followed by the {} bytes "
      "of the old one, mount it, restart auth, and cut it to its first {} bytes when `holdfast keys show` says that no "
      "record needs the old key",
      std::string(status.message()), seal::kKeyBytes, seal::kKeyBytes, seal::kKeyBytes));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> AddKey(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(path));
  ASSIGN_OR_RETURN(std::vector<std::string> keys, seal::ReadKeyRing(path));
  if (keys.size() > 1) {
    return absl::FailedPreconditionError(
        "a rotation is under way: the old key is dropped when no record needs it; see `holdfast keys show`");
  }
  ASSIGN_OR_RETURN(std::string key, seal::NewKey());
  keys.insert(keys.begin(), std::move(key));
  RETURN_IF_ERROR(Replace(path, keys));
  return keys;
}

absl::Status DropOldKeys(const std::string& path, const std::vector<std::string>& expected) {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(path));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, seal::ReadKeyRing(path));
  if (keys != expected) return absl::FailedPreconditionError(fmt::format("{} was changed meanwhile", path));
  return Replace(path, {keys.front()});
}

}  // namespace holdfast::auth
