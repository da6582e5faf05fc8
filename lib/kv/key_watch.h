#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/rpc/channel.h"

namespace holdfast::kv {

// Follows the keys of the store that start with a prefix, over restarts of the store, from the first revision on: what
// is told adds up to what is there, nothing is missed and nothing comes twice. On a thread of its own. Thread-safe.
class KeyWatch {
 public:
  // What a response of the store tells.
  struct Update {
    // What was known before is void: all that there is comes, in this update and those after it up to one that is
    // whole. The first update has it set.
    bool reset = false;
    // What came so far adds up to the state of one revision.
    bool whole = false;
    const google::protobuf::RepeatedPtrField<store::v1::Change>& changes;
  };
  // In order, never two at once. The last call returns before Stop() does.
  using OnUpdate = std::function<void(const Update&)>;

  // `store` must outlive it. Starts at once; waits for a store that is not there.
  KeyWatch(rpc::Channels* store, std::string prefix, OnUpdate on_update);
  ~KeyWatch() { Stop(); }
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;

  // Idempotent. Not from within OnUpdate.
  void Stop();

 private:
  void Run();
  // One stream, to its end.
  void Follow(rpc::Backoff* backoff);

  rpc::Channels* const store_;
  const std::string prefix_;
  const OnUpdate on_update_;
  // Of the last update that was whole; 0 = the list has not come, or not to its end.
  uint64_t revision_ = 0;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace holdfast::kv
