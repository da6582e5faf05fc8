#pragma once

#include <leveldb/env.h>

#include <string>

#include "services/store/disk.h"
#include "services/store/log_pool.h"

namespace holdfast::store {

// LevelDB's environment with what it lacks here. Tables are read with pread(2) instead of mapped into memory, so that a
// large backlog does not count as memory of the process, and so that a bad sector is an I/O error of one read instead
// of a SIGBUS; they are synced as they are written, so that a commit does not wait behind megabytes of a table.
// Write-ahead logs are LogFiles, from a pool once it runs, and are read up to LogEnd(). Thread-safe.
class DiskEnv final : public leveldb::EnvWrapper {
 public:
  // `log_bytes`: how long logs become.
  DiskEnv(leveldb::Env* target, Disk* disk, std::string directory, uint64_t log_bytes)
      : EnvWrapper(target), disk_(disk), directory_(directory), pool_(disk, directory, log_bytes) {}

  leveldb::Status NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** result) override;
  leveldb::Status NewSequentialFile(const std::string& path, leveldb::SequentialFile** result) override;
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** result) override;
  leveldb::Status RemoveFile(const std::string& path) override;

  LogPool& pool() { return pool_; }

 private:
  Disk* const disk_;
  const std::string directory_;
  LogPool pool_;
};

}  // namespace holdfast::store
