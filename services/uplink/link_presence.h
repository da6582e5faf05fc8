#pragma once

#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/presence/v1/presence.pb.h"
#include "lib/rpc/channel.h"

namespace holdfast::uplink {

// Tells the other services whether the hub can be reached: keeps the key "presence/link" in the store, with a lease
// that this process keeps, so that the key goes when the process dies. Thread-safe.
class LinkPresence {
 public:
  struct Options {
    // How long the key outlives a process that was killed.
    absl::Duration lease = absl::Seconds(5);
    absl::Duration call_timeout = absl::Seconds(5);
  };

  // `store` must outlive it.
  LinkPresence(rpc::Channels* store, Options options) : store_(store), options_(options) {}
  ~LinkPresence() { Stop(); }

  void Start();
  // Removes the key, if the store answers soon.
  void Stop();

  // Written as soon as the store answers; the last one counts.
  void Set(presence::v1::LinkPresence presence);

 private:
  void Run();
  // Does what is due: grants or keeps the lease, puts the key.
  absl::Status Write();
  absl::Status Grant();
  absl::Status Keep();
  absl::Status Put(const std::string& value);
  void Revoke();

  rpc::Channels* const store_;
  const Options options_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  std::string value_ ABSL_GUARDED_BY(mutex_);
  // The thread's: 0 = none.
  uint64_t lease_id_ = 0;
  absl::Time kept_at_ = absl::InfinitePast();
  std::string written_;
  std::thread thread_;
};

}  // namespace holdfast::uplink
