// The only files that know LevelDB are database, disk_env and log_file (and a test's environment).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/store/disk.h"

namespace leveldb {
class Cache;
class DB;
class Env;
class Iterator;
class Logger;
class WriteBatch;
}  // namespace leveldb

namespace holdfast::store {

class DiskEnv;

// Changes that are written together or not at all. Not thread-safe.
class Batch {
 public:
  Batch();
  ~Batch();
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;

  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  bool empty() const { return count_ == 0; }
  size_t bytes() const { return bytes_; }

 private:
  friend class Database;
  std::unique_ptr<leveldb::WriteBatch> batch_;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

// An ordered map of bytes on disk: LevelDB with synced writes, repair, and reopening after a failed write. Thread-safe.
class Database {
 public:
  struct Options {
    std::string directory;          // of the database itself; made if missing
    std::string damaged_directory;  // damaged files go to <damaged_directory>/<time>/
    size_t write_buffer_bytes = 8 << 20;
    size_t block_cache_bytes = 8 << 20;
    size_t file_bytes_max = 16 << 20;
    int open_files_max = 128;
    // What a test puts under it; null = the machine's.
    leveldb::Env* env = nullptr;
    Disk* disk = nullptr;
  };

  // FAILED_PRECONDITION if another process holds the directory. A damaged database is repaired as far as LevelDB can.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const Options& options);
  ~Database();

  // Closes and opens again, whatever state it was in. Waits for running scans. `repair`: repair it first, since a write
  // failed for a damaged file.
  absl::Status Reopen(bool repair);

  // Returns after fsync. After an error the effect is unknown, and all further writes fail until Reopen().
  absl::Status Write(Batch* batch);

  // NOT_FOUND if there is none; DATA_LOSS if it lies in a damaged place; UNAVAILABLE if not open.
  absl::StatusOr<std::string> Get(std::string_view key) const;

  // A walk over the keys that start with `prefix`. Holds the database open: use it briefly, in one thread.
  // Damaged places are skipped; damaged() says that there was one.
  class Scan {
   public:
    // `checked`: verify LevelDB's own checksums too (for values that carry none of their own).
    Scan(const Database& database, std::string prefix, bool checked);
    ~Scan();
    Scan(const Scan&) = delete;
    Scan& operator=(const Scan&) = delete;

    void SeekFirst();
    void Seek(std::string_view key);  // the first key at or behind `key`
    void SeekLast();
    // To the last key before `key`.
    void SeekBefore(std::string_view key);
    void Next();
    bool Valid() const;
    std::string_view key() const;
    std::string_view value() const;
    bool damaged() const;
    // UNAVAILABLE if the database is not open.
    absl::Status status() const;

   private:
    const Database& database_;
    const std::string prefix_;
    std::unique_ptr<leveldb::Iterator> iterator_;
  };

  // Keeps a copy of a block that failed its checksum among the damaged files (a bounded number of them).
  void KeepDamagedBlock(std::string_view key, std::string_view value);

  // Files set aside since the process started, by path.
  std::vector<std::string> damaged_files() const;
  // True once something had to be repaired or was skipped at an open: what was written last may be gone.
  bool repaired() const { return repaired_; }
  // What follows from the repair is on disk. Until then a file, <directory>.repaired, remembers it over a crash.
  void ForgetRepaired();

 private:
  class DamageLog;
  explicit Database(const Options& options);
  absl::Status OpenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Repair();
  std::string RepairedMark() const { return options_.directory + ".repaired"; }
  void RememberRepaired();
  void SetAside(const std::string& path, bool move);
  void MakeDamageDirectory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(damage_mutex_);

  const Options options_;
  const std::unique_ptr<DiskEnv> env_;
  const std::unique_ptr<leveldb::Cache> cache_;
  const std::unique_ptr<DamageLog> log_;

  mutable absl::Mutex mutex_;  // shared by whoever uses db_, exclusive to open and close it
  std::unique_ptr<leveldb::DB> db_ ABSL_GUARDED_BY(mutex_);

  mutable absl::Mutex damage_mutex_;  // taken after mutex_ if both
  std::vector<std::string> damaged_files_ ABSL_GUARDED_BY(damage_mutex_);
  std::string damage_directory_ ABSL_GUARDED_BY(damage_mutex_);  // made at the first damage of this process
  std::atomic<bool> repaired_ = false;
};

// What a test asks of the format of Options.env, when it has no other way: LevelDB's default environment.
leveldb::Env* DefaultEnv();

}  // namespace holdfast::store
