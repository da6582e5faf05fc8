#include "services/store/pread_env.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "lib/base/unique_fd.h"

namespace holdfast::store {
namespace {

leveldb::Status ErrnoToStatus(const std::string& path, int error) {
  if (error == ENOENT) return leveldb::Status::NotFound(path, std::strerror(error));
  return leveldb::Status::IOError(path, std::strerror(error));
}

class PreadFile final : public leveldb::RandomAccessFile {
 public:
  PreadFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  leveldb::Status Read(uint64_t offset, size_t count, leveldb::Slice* result, char* scratch) const override {
    size_t have = 0;
    while (have < count) {
      const ssize_t got = ::pread(fd_.get(), scratch + have, count - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        *result = leveldb::Slice(scratch, 0);
        return ErrnoToStatus(path_, errno);
      }
      if (got == 0) break;
      have += static_cast<size_t>(got);
    }
    *result = leveldb::Slice(scratch, have);
    return leveldb::Status::OK();
  }

 private:
  const std::string path_;
  const UniqueFd fd_;
};

}  // namespace

leveldb::Status PreadEnv::NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** result) {
  *result = nullptr;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(path, errno);
  *result = new PreadFile(path, std::move(fd));
  return leveldb::Status::OK();
}

}  // namespace holdfast::store
