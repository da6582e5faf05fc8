#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/string_map.h"

namespace holdfast::router {

// Says which io thread a client belongs to. While anything of a client is known (a connection, a kept session, messages
// being committed), it comes back to the same thread: so take-over, re-sent messages and the order of its messages are
// matters of one thread and one stream to the store. New clients go where there are fewest. Thread-safe.
class HomeThreads {
 public:
  explicit HomeThreads(size_t threads) : clients_per_thread_(threads, 0) {}

  // A client's claim to its thread; it ends with the last of its copies.
  class Home {
   public:
    ~Home() { owner_->Release(client_id_); }
    Home(const Home&) = delete;
    Home& operator=(const Home&) = delete;
    size_t thread() const { return thread_; }

   private:
    friend class HomeThreads;
    Home(HomeThreads* owner, std::string client_id, size_t thread)
        : owner_(owner), client_id_(std::move(client_id)), thread_(thread) {}
    HomeThreads* const owner_;
    const std::string client_id_;
    const size_t thread_;
  };

  std::unique_ptr<Home> Claim(std::string_view client_id);
  // Nullopt: nothing is known of the client.
  std::optional<size_t> Find(std::string_view client_id);

 private:
  struct Entry {
    size_t thread = 0;
    size_t claims = 0;
  };
  void Release(const std::string& client_id);

  absl::Mutex mutex_;
  StringMap<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> clients_per_thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::router
