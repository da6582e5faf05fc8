#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "services/auth/identity_change.h"

namespace holdfast::auth {

// The identities that clients asked for in vain, for whoever can ask the hub (uplink). A client waits for the answer,
// without a thread, a bounded time. However many clients come, the hub is asked for one identity at most once in
// `interval`, and for all together at most `rate_per_minute` times. Thread-safe.
class WantedIdentities {
 public:
  static constexpr size_t kWaitingMax = 1000;  // calls; further ones are answered at once
  static constexpr size_t kAskedMax = 10'000;  // identities remembered; with more nobody is asked for

  struct Options {
    absl::Duration wait = absl::Seconds(5);  // of a client; zero = the hub is never asked on demand
    absl::Duration interval = absl::Minutes(2);
    int64_t rate_per_minute = 60;
  };
  struct Wanted {
    std::string id;                     // a full id
    std::vector<std::string> gateways;  // between it and this gateway, nearest to it first; empty if that is not known
  };
  // Somebody who asks the hub. Called with no lock held. `on_over` means that another one took over (ABORTED) or that
  // all ends (UNAVAILABLE).
  struct Watcher {
    std::function<void(const Wanted&)> on_wanted;
    std::function<void(const absl::Status&)> on_over;
  };

  // The references must outlive it.
  WantedIdentities(const Options& options, const Clock& clock, Metrics& metrics);
  ~WantedIdentities();

  // Asks for it and returns true, and then calls `on_answer` once, in another thread, when the hub's
  // answer is in force or will not come in time. False, and no call, if nobody can be asked, or not now.
  bool Ask(const Wanted& wanted, std::function<void()> on_answer) ABSL_LOCKS_EXCLUDED(mutex_);

  // The change is in force: whoever waits for what it answers goes on.
  void Answered(const IdentityChange& change) ABSL_LOCKS_EXCLUDED(mutex_);

  // A new watcher replaces the one before. Leave() of one that was replaced does nothing; after Leave() of the one in
  // force nobody waits.
  void Enter(const std::shared_ptr<const Watcher>& watcher) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(const Watcher* watcher) ABSL_LOCKS_EXCLUDED(mutex_);

  bool IsWatched() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Lets everybody go on; nobody waits from now on. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Time = std::chrono::steady_clock::time_point;  // what clients wait by; nothing steps it
  struct Waiting {
    std::string id;
    std::function<void()> on_answer;
    Time until;
  };
  struct Asked {
    absl::Duration at;  // since boot
    bool is_open = true;
  };

  bool MayAsk(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes those out for whom `is_over` holds.
  std::vector<Waiting> Take(const std::function<bool(const Waiting&)>& is_over) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndWaits() ABSL_LOCKS_EXCLUDED(mutex_);
  void Count(const char* result);

  const Options options_;
  const Clock& clock_;
  Metrics& metrics_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Watcher> watcher_ ABSL_GUARDED_BY(mutex_);
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);  // the next to end first
  absl::btree_map<std::string, Asked, std::less<>> asked_ ABSL_GUARDED_BY(mutex_);
  double tokens_ ABSL_GUARDED_BY(mutex_);
  absl::Duration refilled_at_ ABSL_GUARDED_BY(mutex_);
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread timer_;
};

}  // namespace holdfast::auth
