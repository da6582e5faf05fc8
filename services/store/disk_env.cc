#include "services/store/disk_env.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "lib/base/log.h"
#include "lib/base/unique_fd.h"
#include "services/store/log_end.h"
#include "services/store/log_file.h"

namespace holdfast::store {
namespace {

// Of a table: written at a time, and between two syncs.
constexpr size_t kTableWriteBytes = 256 << 10;
constexpr size_t kTableSyncBytes = 1 << 20;
constexpr size_t kReadBytes = 256 << 10;

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

// A table that is written: in large aligned pieces, though LevelDB flushes every block, and synced every
// kTableSyncBytes.
class TableFile final : public leveldb::WritableFile {
 public:
  explicit TableFile(leveldb::WritableFile* file) : file_(file) { pending_.reserve(kTableWriteBytes); }

  leveldb::Status Append(const leveldb::Slice& data) override {
    for (size_t at = 0; at < data.size();) {
      const size_t part = std::min(data.size() - at, kTableWriteBytes - pending_.size());
      pending_.append(data.data() + at, part);
      at += part;
      if (pending_.size() < kTableWriteBytes) break;
      if (leveldb::Status status = WriteOut(); !status.ok()) return status;
      if (unsynced_ < kTableSyncBytes) continue;
      unsynced_ = 0;
      if (leveldb::Status status = file_->Sync(); !status.ok()) return status;
    }
    return leveldb::Status::OK();
  }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override {
    leveldb::Status status = WriteOut();
    return status.ok() ? file_->Sync() : status;
  }
  leveldb::Status Close() override {
    leveldb::Status status = WriteOut();
    leveldb::Status closed = file_->Close();
    return status.ok() ? closed : status;
  }

 private:
  leveldb::Status WriteOut() {
    leveldb::Status status = file_->Append(pending_);
    unsynced_ += pending_.size();
    pending_.clear();
    return status;
  }

  const std::unique_ptr<leveldb::WritableFile> file_;
  std::string pending_;
  size_t unsynced_ = 0;
};

// A write-ahead log that is read, up to LogEnd().
class LogReader final : public leveldb::SequentialFile {
 public:
  explicit LogReader(std::string content) : content_(std::move(content)), end_(LogEnd(content_)) {}

  size_t end() const { return end_; }

  leveldb::Status Read(size_t count, leveldb::Slice* result, char* /*scratch*/) override {
    const size_t have = std::min(count, end_ - at_);
    *result = leveldb::Slice(content_.data() + at_, have);
    at_ += have;
    return leveldb::Status::OK();
  }
  leveldb::Status Skip(uint64_t count) override {
    at_ += std::min<uint64_t>(count, end_ - at_);
    return leveldb::Status::OK();
  }

 private:
  const std::string content_;
  const size_t end_;
  size_t at_ = 0;
};

leveldb::Status ReadAll(leveldb::SequentialFile* file, std::string* content) {
  const auto scratch = std::make_unique<char[]>(kReadBytes);
  while (true) {
    leveldb::Slice got;
    if (leveldb::Status status = file->Read(kReadBytes, &got, scratch.get()); !status.ok()) return status;
    if (got.empty()) return leveldb::Status::OK();
    content->append(got.data(), got.size());
  }
}

}  // namespace

leveldb::Status DiskEnv::NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** result) {
  *result = nullptr;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(path, errno);
  *result = new PreadFile(path, std::move(fd));
  return leveldb::Status::OK();
}

leveldb::Status DiskEnv::NewSequentialFile(const std::string& path, leveldb::SequentialFile** result) {
  if (leveldb::Status status = target()->NewSequentialFile(path, result); !status.ok() || !path.ends_with(".log")) {
    return status;
  }
  const std::unique_ptr<leveldb::SequentialFile> file(*result);
  *result = nullptr;
  std::string content;
  if (leveldb::Status status = ReadAll(file.get(), &content); !status.ok()) return status;
  const size_t bytes = content.size();
  auto reader = std::make_unique<LogReader>(std::move(content));
  spdlog::debug("log is read path={} bytes={} of={}", path, reader->end(), bytes);
  *result = reader.release();
  return leveldb::Status::OK();
}

leveldb::Status DiskEnv::NewWritableFile(const std::string& path, leveldb::WritableFile** result) {
  *result = nullptr;
  if (!path.ends_with(".log")) {
    leveldb::Status status = target()->NewWritableFile(path, result);
    if (status.ok() && path.ends_with(".ldb")) *result = new TableFile(*result);
    return status;
  }
  uint64_t ready_bytes = pool_.file_bytes();
  std::unique_ptr<Disk::File> file = pool_.Take(path);
  if (file == nullptr) {
    auto created = disk_->Open(path, /*create=*/true);
    if (!created.ok()) return leveldb::Status::IOError(Text(created.status()));
    file = *std::move(created);
    ready_bytes = 0;
  }
  *result = new LogFile(disk_, std::move(file), directory_, ready_bytes);
  return leveldb::Status::OK();
}

leveldb::Status DiskEnv::RemoveFile(const std::string& path) {
  if (path.ends_with(".log") && pool_.Recycle(path)) return leveldb::Status::OK();
  return target()->RemoveFile(path);
}

}  // namespace holdfast::store
