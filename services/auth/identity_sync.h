#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/file_watch.h"
#include "lib/base/metrics.h"
#include "lib/rpc/channel.h"
#include "services/auth/hub_credential_keeper.h"
#include "services/auth/identity_cache.h"
#include "services/auth/identity_change.h"
#include "services/auth/identity_repository.h"
#include "services/auth/sealing_keeper.h"
#include "services/auth/trusted_clock.h"

namespace holdfast::auth {

// Keeps the cache in step with the store, and the store with the one source of identities, which is the provisioning
// file or the hub: loads at start (P4: the store alone is enough), reloads when another instance of auth has changed
// the set, replaces the set when the file has changed or the hub has spoken, and keeps the gateway's own credential and
// the clock's marks. Tries again with back-off for as long as the store is away. A bad file or a store that does not
// open changes nothing. A set of another source than the configured one stays in the store and lets nobody in (P5).
// Runs in threads of its own.
class IdentitySync {
 public:
  static constexpr absl::Duration kRetryMin = absl::Milliseconds(50);
  static constexpr absl::Duration kRetryMax = absl::Seconds(5);
  static constexpr absl::Duration kTick = absl::Seconds(30);  // looks at the file without being told
  static constexpr absl::Duration kSaveMarksEvery = absl::Minutes(5);
  static constexpr size_t kTasksWaitingMax = 16;

  struct Options {
    std::string identities_file;             // "" = none
    std::string hub_connection_string_file;  // "" = none; not both
    std::string hub_hostname;                // which the connection string must name; "" = any
    KeyLocation sealing_keys;
  };
  struct Callbacks {
    // Whether clients can be judged: true after the first load.
    std::function<void(bool)> on_serving;
    // The process must end: the sealing key is unusable, or missing while the store holds what it sealed (P6).
    std::function<void(const absl::Status&)> on_fatal;
    // The secret under which modules encrypt, once. Null: it is not looked for.
    std::function<void(std::string)> on_workload_secret = nullptr;
    // Now and then, at least each kTick. Null: nobody.
    std::function<void()> on_tick = nullptr;
  };
  using OnApplied = std::function<void(const absl::StatusOr<ChangeCounts>&)>;

  // The references must outlive it.
  IdentitySync(Options options, IdentityRepository& repository, IdentityCache& cache, HubIdentity& hub,
               TrustedClock& trusted_clock, const Clock& clock, Metrics& metrics, Callbacks callbacks);
  ~IdentitySync();

  void Start();
  // Ends the threads; saves the marks if the store is there. Idempotent.
  void Stop();

  // Makes the hub's word the set in force, in the store first; calls `done` when it is or can't be, in a thread of this
  // class or at once. FAILED_PRECONDITION if the hub is not the source of identities, or for a delta before the first
  // snapshot; RESOURCE_EXHAUSTED if kTasksWaitingMax wait; errors of the store. An error means that nothing changed,
  // or, if the store broke off in the middle, that it is not known: say it again. Thread-safe.
  void Apply(std::shared_ptr<const IdentityChange> change, OnApplied done) ABSL_LOCKS_EXCLUDED(mutex_);

  // Begins a rotation of the sealing key (SealingKeeper::Rotate), or tells how far the keys are; `done` as above.
  using OnKeys = std::function<void(const absl::StatusOr<SealingKeysStatus>&)>;
  void RotateSealingKey(OnKeys done) ABSL_LOCKS_EXCLUDED(mutex_);
  void GetSealingKeys(OnKeys done) ABSL_LOCKS_EXCLUDED(mutex_);

  // FAILED_PRECONDITION with what to set if identities do not come from a hub; UNAVAILABLE while that is not known yet.
  // Thread-safe.
  absl::Status CheckHubIsSource() const;

 private:
  // What another thread wants done; gets the reason if it can't be now.
  using Task = std::function<void(const absl::Status& can_do)>;
  void Run();
  void WatchStore();
  absl::Status Step();
  absl::Status EnsureSealing();
  absl::Status EnsureMarks();
  absl::Status EnsureWorkloadSecret();
  absl::Status LoadFromStore();
  absl::Status ApplyFile();
  absl::Status SaveMarks();
  void Do(Task task) ABSL_LOCKS_EXCLUDED(mutex_);
  void DoWaiting(const absl::Status& can_do) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AdvanceRotation();
  absl::StatusOr<ChangeCounts> ApplyChange(const IdentityChange& change);
  void Adopt(std::shared_ptr<const IdentitySet> set, std::string_view from);
  // Puts what is in the store into the cache if it may be used.
  void Serve();
  // Of the sets that may be used; "" = of any.
  std::string WantedSource() const;
  bool MayUse(const IdentitySet& set) const;
  void Report(const absl::Status& status);

  const Options options_;
  IdentityRepository& repository_;
  IdentityCache& cache_;
  HubIdentity& hub_;
  TrustedClock& trusted_clock_;
  const Clock& clock_;
  Metrics& metrics_;
  const Callbacks callbacks_;

  // Of Run()'s thread.
  SealingKeeper sealing_;
  bool has_sealing_ = false;
  HubCredentialKeeper keeper_;
  std::shared_ptr<const IdentitySet> stored_;  // in the store, whether it may be used or not
  bool has_marks_ = false;
  bool has_workload_secret_ = false;  // or knows that it can't be had
  bool is_file_due_ = true;
  bool has_failed_ = false;
  std::string bad_file_hash_;  // so that one bad file is reported once
  std::string last_error_;
  absl::Duration marks_saved_at_ = -absl::InfiniteDuration();  // since boot

  FileWatch wake_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<bool> is_store_changed_ = true;
  std::atomic<uint64_t> stored_revision_ = 0;
  absl::Mutex mutex_;
  grpc::ClientContext* watch_context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool takes_tasks_ ABSL_GUARDED_BY(mutex_) = true;
  std::deque<Task> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread runner_;
  std::thread watcher_;
};

}  // namespace holdfast::auth
