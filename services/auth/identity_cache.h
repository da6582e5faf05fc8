#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/synchronization/mutex.h"
#include "services/auth/identity_repository.h"

namespace holdfast::auth {

// The identities in force, in memory: what Authenticate reads. Sets are immutable and swapped whole. Thread-safe.
class IdentityCache {
 public:
  enum class State {
    kNotLoaded,         // the store was not read yet, or could not be: nobody can be judged
    kNeverProvisioned,  // it was read, and there has never been a set
    kLoaded,
  };
  struct View {
    State state = State::kNotLoaded;
    std::shared_ptr<const IdentitySet> set;  // not null if loaded
  };

  View Get() const;

  // Each tells the listeners.
  void Set(std::shared_ptr<const IdentitySet> set);
  void SetNeverProvisioned();

  // `listener` is called, with no lock held, after each change and by Notify(); it may still be called once while
  // Unsubscribe() runs in another thread.
  int Subscribe(std::function<void()> listener);
  void Unsubscribe(int id);
  void Notify();

 private:
  mutable absl::Mutex mutex_;
  View view_ ABSL_GUARDED_BY(mutex_);
  int next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::btree_map<int, std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::auth
