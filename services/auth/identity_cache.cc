#include "services/auth/identity_cache.h"

#include <utility>

namespace holdfast::auth {

IdentityCache::View IdentityCache::Get() const {
  absl::MutexLock lock(&mutex_);
  return view_;
}

void IdentityCache::Set(std::shared_ptr<const IdentitySet> set) {
  {
    absl::MutexLock lock(&mutex_);
    view_ = {.state = State::kLoaded, .set = std::move(set)};
  }
  Notify();
}

void IdentityCache::SetNeverProvisioned() {
  {
    absl::MutexLock lock(&mutex_);
    if (view_.state == State::kNeverProvisioned) return;
    view_ = {.state = State::kNeverProvisioned, .set = nullptr};
  }
  Notify();
}

int IdentityCache::Subscribe(std::function<void()> listener) {
  absl::MutexLock lock(&mutex_);
  listeners_.emplace(next_id_, std::move(listener));
  return next_id_++;
}

void IdentityCache::Unsubscribe(int id) {
  absl::MutexLock lock(&mutex_);
  listeners_.erase(id);
}

void IdentityCache::Notify() {
  std::vector<std::function<void()>> listeners;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, listener] : listeners_) listeners.push_back(listener);
  }
  for (const auto& listener : listeners) listener();
}

}  // namespace holdfast::auth
