#include "cli/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr char kPartial[] = ".partial";
constexpr mode_t kOwnerOnly = 0600;

}  // namespace

absl::StatusOr<std::unique_ptr<WholeFile>> WholeFile::Create(const std::string& path) {
  const std::string partial = path + kPartial;
  // What lies there is of one that did not end, or a trap.
  ::unlink(partial.c_str());
  const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly);
  if (fd < 0) return ErrnoStatus(errno, partial);
  return std::unique_ptr<WholeFile>(new WholeFile(::fdopen(fd, "w"), path));
}

absl::StatusOr<std::unique_ptr<WholeFile>> WholeFile::Stdout() {
  return std::unique_ptr<WholeFile>(new WholeFile(stdout, ""));
}

WholeFile::~WholeFile() {
  if (path_.empty() || file_ == nullptr) return;
  std::fclose(file_);
  ::unlink((path_ + kPartial).c_str());
}

absl::Status WholeFile::Error() const {
  return ErrnoStatus(errno, path_.empty() ? "stdout" : path_ + kPartial);
}

absl::Status WholeFile::Write(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), file_) == text.size() ? absl::OkStatus() : Error();
}

absl::Status WholeFile::Finish() {
  if (std::fflush(file_) != 0) return Error();
  if (path_.empty()) return absl::OkStatus();
  if (::fsync(::fileno(file_)) != 0) return Error();
  if (std::fclose(std::exchange(file_, nullptr)) != 0) return Error();
  if (::rename((path_ + kPartial).c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, path_);
  return absl::OkStatus();
}

}  // namespace holdfast::cli
