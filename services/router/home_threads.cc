#include "services/router/home_threads.h"

#include <algorithm>

namespace holdfast::router {

std::unique_ptr<HomeThreads::Home> HomeThreads::Claim(std::string_view client_id) {
  absl::MutexLock lock(&mutex_);
  auto it = entries_.find(client_id);
  if (it == entries_.end()) {
    const auto least = std::min_element(clients_per_thread_.begin(), clients_per_thread_.end());
    const size_t thread = static_cast<size_t>(least - clients_per_thread_.begin());
    ++*least;
    it = entries_.emplace(client_id, Entry{.thread = thread}).first;
  }
  ++it->second.claims;
  return std::unique_ptr<Home>(new Home(this, std::string(client_id), it->second.thread));
}

std::optional<size_t> HomeThreads::Find(std::string_view client_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(client_id);
  if (it == entries_.end()) return std::nullopt;
  return it->second.thread;
}

void HomeThreads::Release(const std::string& client_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(client_id);
  if (--it->second.claims > 0) return;
  --clients_per_thread_[it->second.thread];
  entries_.erase(it);
}

}  // namespace holdfast::router
