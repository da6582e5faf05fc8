#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "lib/rpc/channel.h"

namespace grpc {
class ClientContext;
}

namespace holdfast::uplink {

// Follows the keys of the store's key-value space that begin with a prefix, over restarts of the store, from the
// revision that was seen last. Thread-safe.
class KeyWatch {
 public:
  struct Change {
    // Without the prefix.
    std::string key;
    // Of a deletion: empty.
    std::string value;
    bool deleted = false;
  };
  // `reset`: everything known before is void; `changes` begins the list of what exists. Called on the watch's thread.
  using OnChanges = std::function<void(bool reset, std::vector<Change> changes)>;

  // `store` must outlive it.
  KeyWatch(rpc::Channels* store, std::string prefix, OnChanges on_changes);
  ~KeyWatch();

  void Start();
  void Stop();

 private:
  void Run();
  absl::Status Follow();

  rpc::Channels* const store_;
  const std::string prefix_;
  const OnChanges on_changes_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // The thread's: 0 = everything is wanted.
  uint64_t next_revision_ = 0;
  std::thread thread_;
};

}  // namespace holdfast::uplink
