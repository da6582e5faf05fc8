#pragma once

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "services/auth/wanted_identities.h"

namespace holdfast::auth {

// One WatchWantedIdentities call: passes on what WantedIdentities says, in order. Owns itself until the call is over.
// Thread-safe.
class WantedWatch final : public grpc::ServerWriteReactor<v1::WatchWantedIdentitiesResponse>,
                          public std::enable_shared_from_this<WantedWatch> {
 public:
  static constexpr size_t kUnsentMax = 1000;  // a reader that is this far behind ends with RESOURCE_EXHAUSTED

  // `wanted` outlives it. Ends at once with `allowed` if that is an error.
  static WantedWatch* Start(WantedIdentities& wanted, const absl::Status& allowed);

 private:
  explicit WantedWatch(WantedIdentities& wanted) : wanted_(wanted) {}
  void Add(const WantedIdentities::Wanted& wanted);
  void End(grpc::Status status);
  void Advance();
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  WantedIdentities& wanted_;
  std::shared_ptr<WantedWatch> self_;
  std::shared_ptr<const WantedIdentities::Watcher> watcher_;
  v1::WatchWantedIdentitiesResponse response_;  // of the write in flight
  absl::Mutex mutex_;
  std::deque<WantedIdentities::Wanted> unsent_ ABSL_GUARDED_BY(mutex_);
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::auth
