#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/store/disk.h"

namespace leveldb {
class Cache;
class DB;
class Env;
class Iterator;
class WriteBatch;
}  // namespace leveldb

namespace holdfast::store {

class DamagedFiles;
class DiskEnv;

// One LevelDB with repair, whose damaged files are set aside. Opening and closing are for one thread, the rest is
// thread-safe while it is open.
class LevelDb {
 public:
  struct Options {
    std::string directory;  // made if missing
    size_t write_buffer_bytes = 8 << 20;
    size_t file_bytes_max = 16 << 20;
    int open_files_max = 128;
    leveldb::Cache* cache = nullptr;
    leveldb::Env* env = nullptr;
    Disk* disk = nullptr;
    DamagedFiles* damaged = nullptr;
    // Before anything is given up.
    std::function<void()> on_repair;
  };

  explicit LevelDb(Options options);
  ~LevelDb();

  // Repairs it first if it is damaged, or `repair` says so. FAILED_PRECONDITION if another process holds the directory.
  absl::Status Open(bool repair);
  void Close();
  bool is_open() const { return db_ != nullptr; }

  // Unless `sync`, on disk with the next write that is synced. After an error the effect is unknown, and all further
  // writes fail until it is opened again.
  absl::Status Write(leveldb::WriteBatch* batch, bool sync);
  // NOT_FOUND if there is none; DATA_LOSS if it lies in a damaged place.
  absl::StatusOr<std::string> Get(std::string_view key) const;
  // `checked`: verifies LevelDB's own checksums too. Nothing may be open when it is closed.
  std::unique_ptr<leveldb::Iterator> NewIterator(bool checked) const;

 private:
  class DamageLog;
  absl::Status OpenOnce();
  absl::Status Repair();

  const Options options_;
  const std::unique_ptr<DiskEnv> env_;
  const std::unique_ptr<DamageLog> log_;
  std::unique_ptr<leveldb::DB> db_;
};

}  // namespace holdfast::store
