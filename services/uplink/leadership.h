#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/kv/key_watch.h"
#include "lib/rpc/channel.h"

namespace holdfast::uplink {

// The instance that leads, as text; its revision is the leader's fencing number.
inline constexpr char kLeaderKey[] = "uplink/leader";

// Of several uplinks on one store one leads and the others stand by: the one that holds the key "uplink/leader", with a
// lease. When its process dies the key goes with the lease, when it stops it takes the key away; whoever stands by
// sees that and takes it. A leader that loses the key never leads again: it is told so once, and what it writes behind
// its fence is refused by the store from that moment on. Thread-safe.
class Leadership {
 public:
  struct Options {
    // How long a leader that was killed is waited for. Whole seconds, 1 at least.
    absl::Duration lease = absl::Seconds(4);
    absl::Duration call_timeout = absl::Seconds(2);
  };
  // On a thread of its own, each once at most.
  struct Events {
    std::function<void()> on_lead;
    std::function<void(const std::string& reason)> on_lost;
  };
  struct Status {
    bool leads = false;
    // "" = not known yet, or nobody.
    std::string leader;
  };

  // `store` must outlive it. `instance`: a key of the same name is of a former life of this one, and is taken over.
  Leadership(rpc::Channels* store, std::string instance, Options options);
  ~Leadership() { Stop(); }

  void Start(Events events);
  // Lets somebody else lead, if the store answers soon. Idempotent.
  void Stop();

  Status status() const;
  // Makes a write one of this leader's. Not before on_lead.
  void SetFence(store::v1::Fence* fence) const;

 private:
  void Run();
  // Ok: it leads. FAILED_PRECONDITION: somebody else does.
  absl::Status Acquire();
  // NOT_FOUND: it leads no more.
  absl::Status Keep();
  absl::Status Grant(uint64_t* lease_id);
  void Revoke(uint64_t lease_id);
  void SetLeader(const std::string& leader);

  rpc::Channels* const store_;
  const std::string instance_;
  const Options options_;
  Events events_;

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // The key changed since it was looked at.
  bool changed_ ABSL_GUARDED_BY(mutex_) = true;
  // 0 = it does not lead.
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string leader_ ABSL_GUARDED_BY(mutex_);
  // The thread's.
  uint64_t lease_id_ = 0;

  std::unique_ptr<kv::KeyWatch> watch_;
  std::thread thread_;
};

}  // namespace holdfast::uplink
