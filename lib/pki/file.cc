#include "lib/pki/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "lib/base/status.h"
#include "lib/base/unique_fd.h"

namespace holdfast::pki {
namespace {

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

absl::Status SyncFolder(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return ErrnoStatus(errno, fmt::format("can't sync the folder {}", folder));
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ErrnoStatus(errno, fmt::format("can't write {}", path));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// Writes a temporary file beside `path` and gives it that name by `name_it`.
absl::Status WriteAndName(const std::string& path, std::string_view bytes, unsigned mode,
                          int (*name_it)(const char* from, const char* to)) {
  std::string temporary = path + ".XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("can't make a file in {}", Folder(path)));
  absl::Status status = WriteAll(fd.get(), bytes, temporary);
  if (status.ok() && (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0)) {
    status = ErrnoStatus(errno, fmt::format("can't write {}", temporary));
  }
  if (status.ok() && name_it(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, fmt::format("can't make {}", path));
  }
  ::unlink(temporary.c_str());
  RETURN_IF_ERROR(status);
  return SyncFolder(Folder(path));
}

absl::StatusOr<std::string> Read(const std::string& path, size_t bytes_max, bool secret) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("can't read {}", path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, fmt::format("can't read {}", path));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(fmt::format("{} is not a regular file", path));
  if (secret && (info.st_mode & 0027) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} holds a secret and has mode {:04o}; run: chmod 0600 {}", path, info.st_mode & 07777, path));
  }
  if (static_cast<size_t>(info.st_size) > bytes_max) {
    return absl::InvalidArgumentError(fmt::format("{} is larger than {} bytes", path, bytes_max));
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, fmt::format("can't read {}", path));
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  bytes.resize(used);
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  return Read(path, bytes_max, /*secret=*/false);
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  return Read(path, kFileBytesMax, /*secret=*/true);
}

absl::Status WriteNewFile(const std::string& path, std::string_view bytes, unsigned mode) {
  // link() fails if the name is taken, where rename() would replace the file.
  return WriteAndName(path, bytes, mode, [](const char* from, const char* to) { return ::link(from, to); });
}

absl::Status ReplaceFile(const std::string& path, std::string_view bytes, unsigned mode) {
  return WriteAndName(path, bytes, mode, [](const char* from, const char* to) { return ::rename(from, to); });
}

absl::Status MakeDirectory(const std::string& path, unsigned mode) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return absl::OkStatus();
  const std::string parent = Folder(path);
  std::filesystem::create_directories(parent, error);
  if (error) return ErrnoStatus(error.value(), fmt::format("can't make the folder {}", parent));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, fmt::format("can't make the folder {}", path));
  }
  return SyncFolder(parent);
}

}  // namespace holdfast::pki
