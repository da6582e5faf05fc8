// The only files that know LevelDB are database, level_db, disk_env and log_file (and a test's environment).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/store/damaged_files.h"
#include "services/store/disk.h"

namespace leveldb {
class Cache;
class Env;
class Iterator;
class WriteBatch;
}  // namespace leveldb

namespace holdfast::store {

class LevelDb;

// Changes that are written together or not at all, but for deletions of blocks (see Database). Not thread-safe.
class Batch {
 public:
  Batch();
  ~Batch();
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;

  void Put(std::string_view key, std::string_view value);
  // A new block, behind all blocks of its lane. At most kAppendsMax in one batch.
  void Append(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  bool empty() const { return count_ == 0; }
  size_t bytes() const { return bytes_; }

 private:
  friend class Database;
  std::unique_ptr<leveldb::WriteBatch> blocks_;       // their puts
  std::vector<std::string> deleted_blocks_;           // keys
  absl::btree_map<std::string, std::string> newest_;  // the last key appended to each lane
  bool rewrites_ = false;                             // a block that is there already is put
  std::string rest_;                                  // as AppendPut, AppendDelete
  size_t count_ = 0;
  size_t bytes_ = 0;
};

// Blocks that may be appended in one batch.
inline constexpr size_t kAppendsMax = 4096;

// An ordered map of bytes on disk, with synced writes, repair, and reopening after a failed write: two LevelDBs, one
// for blocks and one for the rest. New blocks are the last ones of their lane, so the files of a LevelDB that has
// nothing else in it don't overlap, and are never merged (docs/decisions/0016-blocks-in-a-database-of-their-own.md).
//
// A batch with new blocks is one synced write, to the blocks' database: what it changes besides rides on the newest
// block of a lane, and comes to the other database with a later batch. After a crash the riders that are not there yet
// are applied. Blocks are deleted after everything else of their batch is on disk; after a crash some may still be
// there (see unclean()). Thread-safe, but for Write: one thread writes.
//
// The store's record, queues and checkpoints are to be read after an open only: until the next one Get and Scan may
// show what they were before.
class Database {
 public:
  struct Options {
    std::string directory;          // of everything but blocks; made if missing
    std::string blocks_directory;   // made if missing
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
    // `checked`: verify LevelDB's own checksums too (for values that carry none of their own). `riders`: stops at the
    // riders of blocks too.
    Scan(const Database& database, std::string prefix, bool checked, bool riders = false);
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
    bool OnHiddenRider() const;

    const Database& database_;
    const std::string prefix_;
    const bool riders_;
    std::unique_ptr<leveldb::Iterator> iterator_;
  };

  // Keeps a copy of a block that failed its checksum among the damaged files (a bounded number of them).
  void KeepDamagedBlock(std::string_view key, std::string_view value) { damaged_.KeepBlock(key, value); }

  // Files set aside since the process started, by path.
  std::vector<std::string> damaged_files() const { return damaged_.paths(); }
  // True once something had to be repaired or was skipped at an open: what was written last may be gone.
  bool repaired() const { return repaired_; }
  // What follows from the repair is on disk. Until then a file, <directory>.repaired, remembers it over a crash.
  void ForgetRepaired();
  // The last open found that the one before had not ended well: blocks that were deleted may be there.
  bool unclean() const { return unclean_; }

 private:
  explicit Database(const Options& options);
  absl::Status OpenLocked(bool repair) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Finish();
  absl::Status Recover() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FinishIntent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status MoveBlocksOfOldFormat() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ApplyRiders() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Dispatch(Batch* batch);
  absl::Status WriteWithRiders(Batch* batch);
  absl::Status WriteWithIntent(Batch* batch);
  // What waits, and these, become durable.
  absl::Status WriteRest(std::string_view changes, leveldb::WriteBatch* rest);
  // With the deletions that wait.
  absl::Status WriteBlocks(leveldb::WriteBatch* blocks);
  LevelDb& DatabaseOf(std::string_view key) const;
  std::string RepairedMark() const { return options_.directory + ".repaired"; }
  void RememberRepaired();

  const Options options_;
  const std::unique_ptr<leveldb::Cache> cache_;
  DamagedFiles damaged_;
  std::atomic<bool> repaired_ = false;
  std::atomic<bool> unclean_ = false;

  mutable absl::Mutex mutex_;  // shared by whoever uses the two, exclusive to open and close them
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  const std::unique_ptr<LevelDb> blocks_;
  const std::unique_ptr<LevelDb> rest_;

  // The writer's.
  bool failed_ = false;
  uint64_t number_ = 0;  // of the last batch with riders
  // What rode on blocks and is not in rest_ yet; nullopt: deleted.
  absl::btree_map<std::string, std::optional<std::string>> waiting_;
  uint32_t waiting_batches_ = 0;
  // The riders of these batches: they must stay, even if their block goes.
  absl::btree_set<std::string> needed_riders_;
  // Blocks to be deleted, and riders that stayed.
  std::vector<std::string> deleted_;
};

// What a test asks of the format of Options.env, when it has no other way: LevelDB's default environment.
leveldb::Env* DefaultEnv();

}  // namespace holdfast::store
