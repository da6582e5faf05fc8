#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace holdfast::store {

// Where damaged files and blocks are kept for inspection: <directory>/<time>/, made at the first damage of this
// process. Thread-safe.
class DamagedFiles {
 public:
  explicit DamagedFiles(std::string directory) : directory_(std::move(directory)) {}

  // Once for each name. A copy, unless it is moved.
  void SetAside(const std::string& path, bool move);
  // A bounded number of them.
  void KeepBlock(std::string_view key, std::string_view value);

  // Since the process started.
  std::vector<std::string> paths() const;

 private:
  void MakeDirectory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string directory_;
  mutable absl::Mutex mutex_;
  std::vector<std::string> paths_ ABSL_GUARDED_BY(mutex_);
  std::string of_now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::store
