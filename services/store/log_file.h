#pragma once

#include <leveldb/env.h>

#include <cstdint>
#include <memory>
#include <string>

#include "services/store/disk.h"

namespace holdfast::store {

// A write-ahead log whose space is written with zeroes before records come. Syncing a file that grows writes the file
// system's own records too, which takes about as long again; where the space is there already it is the data alone. The
// space comes as a whole from LogPool, or is made here in steps. What lies behind the records is zero, which LevelDB's
// log format reads as "nothing here"; it is cut off when the log is closed. Nothing is promised before Sync(), so
// nothing is written before it, as far as memory allows. Not thread-safe.
class LogFile final : public leveldb::WritableFile {
 public:
  // `directory`: where the file's name is, to be synced with the first Sync(). `ready_bytes`: of zeroes already there,
  // synced.
  LogFile(Disk* disk, std::unique_ptr<Disk::File> file, std::string directory, uint64_t ready_bytes)
      : disk_(disk), file_(std::move(file)), directory_(std::move(directory)), ready_(ready_bytes) {}
  ~LogFile() override { LogFile::Close(); }

  leveldb::Status Append(const leveldb::Slice& data) override;
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override;
  leveldb::Status Close() override;

 private:
  absl::Status WriteOut();
  absl::Status SyncAll();

  Disk* const disk_;
  std::unique_ptr<Disk::File> file_;  // null = closed
  const std::string directory_;
  std::string pending_;  // appended, not yet given to the file
  uint64_t size_ = 0;    // of the records given to the file
  uint64_t ready_;       // the file's size: what is behind size_ is zero
  bool named_ = false;   // the directory was synced
  bool failed_ = false;  // after which nothing more is changed: what is on disk is not known
};

}  // namespace holdfast::store
