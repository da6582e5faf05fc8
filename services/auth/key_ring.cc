#include "services/auth/key_ring.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/rand.h>
#include <sys/file.h>

#include <cerrno>
#include <filesystem>

#include "lib/base/status.h"
#include "lib/base/unique_fd.h"
#include "lib/pki/file.h"
#include "services/auth/sealing.h"

namespace holdfast::auth {
namespace {

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

absl::StatusOr<std::string> RandomKey() {
  std::string key(kSealingKeyBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), kSealingKeyBytes) != 1) {
    return absl::InternalError("the system has no randomness to give");
  }
  return key;
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
      "of "
      "the old one, mount it, restart auth, and cut it to its first {} bytes when `holdfast keys show` says that no "
      "record needs the old key",
      std::string(status.message()), kSealingKeyBytes, kSealingKeyBytes, kSealingKeyBytes));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadKeyRing(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, pki::ReadSecretFile(path));
  if (bytes.empty() || bytes.size() % kSealingKeyBytes != 0 || bytes.size() > kKeysMax * kSealingKeyBytes) {
    return absl::FailedPreconditionError(
        fmt::format("the sealing key {} has {} bytes, not {} (or, while keys are rotated, a multiple of it up to {}); "
                    "restore it from its copy",
                    path, bytes.size(), kSealingKeyBytes, kKeysMax * kSealingKeyBytes));
  }
  std::vector<std::string> keys;
  for (size_t i = 0; i < bytes.size(); i += kSealingKeyBytes) keys.push_back(bytes.substr(i, kSealingKeyBytes));
  return keys;
}

absl::StatusOr<std::vector<std::string>> MakeKeyRing(const std::string& path) {
  ASSIGN_OR_RETURN(std::string key, RandomKey());
  RETURN_IF_ERROR(pki::MakeDirectory(Folder(path), 0700));
  RETURN_IF_ERROR(pki::WriteNewFile(path, key, 0600));
  return std::vector<std::string>{std::move(key)};
}

absl::StatusOr<std::vector<std::string>> AddKey(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(path));
  ASSIGN_OR_RETURN(std::vector<std::string> keys, ReadKeyRing(path));
  if (keys.size() > 1) {
    return absl::FailedPreconditionError(
        "a rotation is under way: the old key is dropped when no record needs it; see `holdfast keys show`");
  }
  ASSIGN_OR_RETURN(std::string key, RandomKey());
  keys.insert(keys.begin(), std::move(key));
  RETURN_IF_ERROR(Replace(path, keys));
  return keys;
}

absl::Status DropOldKeys(const std::string& path, const std::vector<std::string>& expected) {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(path));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, ReadKeyRing(path));
  if (keys != expected) return absl::FailedPreconditionError(fmt::format("{} was changed meanwhile", path));
  return Replace(path, {keys.front()});
}

}  // namespace holdfast::auth
