#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/store/disk.h"

namespace holdfast::store {

// Files of zeroes, written and synced, that wait to become write-ahead logs. Made on a thread of its own, from logs
// that are no longer needed where there are some: their place on the disk is there already. What is found from an
// earlier process is never used, for nobody knows what it holds. On a disk that is nearly full there are none.
// Thread-safe.
class LogPool {
 public:
  // Each file has `file_bytes`, and lies in `directory`.
  LogPool(Disk* disk, std::string directory, uint64_t file_bytes);
  ~LogPool();

  // Removes what is left from an earlier process and begins. Only while nobody else can use the directory.
  void Start();
  // Removes all spare files; Take() and Recycle() do nothing until Start().
  void Stop();

  // Gives a file of zeroes the name `path`; null if none is ready. The name is not synced.
  std::unique_ptr<Disk::File> Take(const std::string& path);
  // Makes a spare file of the file at `path`, which is gone then. False, and it is as it was, if no more are needed.
  bool Recycle(const std::string& path);

  uint64_t file_bytes() const { return file_bytes_; }
  // For tests: waits until as many as wanted are ready, or none can be made. Returns their number.
  size_t AwaitReady();

 private:
  enum class Stage { kEmpty, kToPrepare, kPreparing, kReady };
  struct Spare {
    std::string path;
    Stage stage = Stage::kEmpty;
    bool recycled = false;  // the file is there, with an old log in it
  };

  void Loop();
  absl::Status Prepare(const std::string& path, bool recycled);
  bool StopRequested() const;
  bool Settled() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  Spare* Find(Stage stage) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Disk* const disk_;
  const std::string directory_;
  const uint64_t file_bytes_;

  mutable absl::Mutex mutex_;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Spare> spares_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace holdfast::store
