#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "services/store/feed.h"
#include "services/store/transaction.h"

namespace holdfast::store {

// The newest changes of keys, in order of revision, up to a number of bytes, and whoever watches them. Watchers keep
// only the revision that they have reached, so that a slow one costs nothing: one that falls behind the history starts
// over from what exists. Thread-safe.
class WatchHub {
 public:
  explicit WatchHub(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Empties the history: what is known is that nothing changed since `revision`. Wakes the watchers.
  void Reset(uint64_t revision);

  // Adds changes that are on disk, and wakes the watchers.
  void Publish(std::vector<KeyChange> changes);

  struct Page {
    bool behind = false;             // the history does not go back to `from_revision`
    std::vector<KeyChange> changes;  // of keys that start with the prefix, up to `revision`
    uint64_t revision = 0;
  };
  // Changes from `from_revision` on, at most about `bytes_max` of them.
  Page Read(std::string_view prefix, uint64_t from_revision, size_t bytes_max) const;
  uint64_t revision() const;

  void Attach(std::shared_ptr<Follower> follower);
  void Detach(const Follower* follower);
  void EndAll(const absl::Status& status);

 private:
  const size_t bytes_max_;
  mutable absl::Mutex mutex_;
  uint64_t floor_ ABSL_GUARDED_BY(mutex_) = 0;  // changes behind this revision are held
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<KeyChange> history_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Follower>> followers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::store
