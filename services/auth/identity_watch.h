#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "services/auth/identity_cache.h"

namespace holdfast::auth {

// The gateway's own device; "" while it is not known.
using OwnDeviceId = std::function<std::string()>;

void ToProto(const Identity& identity, v1::Identity* out);

// What a watcher that knows `from` must be told to know `to`. `from` null = it knows nothing.
v1::WatchIdentitiesResponse Difference(const IdentitySet* from, const IdentitySet* to);

// One WatchIdentities call: sends everything, then the difference to what it sent last, as often as the cache changes
// and no more often than the caller reads (a slow caller costs one set, not a queue). Owns itself until the call is
// over. Thread-safe.
class IdentityWatch final : public grpc::ServerWriteReactor<v1::WatchIdentitiesResponse>,
                            public std::enable_shared_from_this<IdentityWatch> {
 public:
  // All outlive it. Ends with UNAVAILABLE when `is_stopping` is true at a notification of the cache, or if nothing is
  // loaded yet.
  static IdentityWatch* Start(IdentityCache& cache, const OwnDeviceId& own_device_id,
                              const std::atomic<bool>& is_stopping);

 private:
  IdentityWatch(IdentityCache& cache, const OwnDeviceId& own_device_id, const std::atomic<bool>& is_stopping)
      : cache_(cache), own_device_id_(own_device_id), is_stopping_(is_stopping) {}
  void Advance();
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  IdentityCache& cache_;
  const OwnDeviceId& own_device_id_;
  const std::atomic<bool>& is_stopping_;
  std::shared_ptr<IdentityWatch> self_;
  int subscription_ = 0;
  v1::WatchIdentitiesResponse response_;  // of the write in flight
  absl::Mutex mutex_;
  bool has_sent_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const IdentitySet> sent_ ABSL_GUARDED_BY(mutex_);
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::auth
