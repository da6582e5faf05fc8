#include "services/store/disk.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "lib/base/status.h"
#include "lib/base/unique_fd.h"

namespace holdfast::store {
namespace {

constexpr mode_t kFileMode = 0644;  // as LevelDB's own files

class SystemFile final : public Disk::File {
 public:
  SystemFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::Status Write(uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t written = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "can't write to " + path_);
      offset += static_cast<uint64_t>(written);
      data.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    return ::fdatasync(fd_.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "can't sync " + path_);
  }
  absl::Status Truncate(uint64_t size) override {
    return ::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0 ? absl::OkStatus()
                                                                 : ErrnoStatus(errno, "can't truncate " + path_);
  }

 private:
  const std::string path_;
  const UniqueFd fd_;
};

class SystemDisk final : public Disk {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, bool create) override {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), kFileMode));
    if (!fd.valid()) return ErrnoStatus(errno, "can't open " + path);
    return std::make_unique<SystemFile>(path, std::move(fd));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "can't rename " + from);
  }
  absl::Status Remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "can't remove " + path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::fsync(fd.get()) != 0) return ErrnoStatus(errno, "can't sync the directory " + path);
    return absl::OkStatus();
  }
  uint64_t FreeBytes(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) return UINT64_MAX;
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }
};

}  // namespace

Disk* Disk::System() {
  static SystemDisk disk;
  return &disk;
}

}  // namespace holdfast::store
