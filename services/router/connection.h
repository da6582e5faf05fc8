#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/iothub/user_name.h"
#include "services/router/home_threads.h"
#include "services/router/transport.h"

namespace holdfast::router {

using iothub::UserName;

// Counts sockets, so that there is a most. Thread-safe.
class ConnectionLimit {
 public:
  explicit ConnectionLimit(int64_t max) : max_(max) {}

  class Slot {
   public:
    explicit Slot(std::atomic<int64_t>* count) : count_(count) {}
    ~Slot() { count_->fetch_sub(1); }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    std::atomic<int64_t>* const count_;
  };

  // Null if there is no room.
  std::unique_ptr<Slot> Take() {
    if (count_.fetch_add(1) < max_) return std::make_unique<Slot>(&count_);
    count_.fetch_sub(1);
    return nullptr;
  }

 private:
  const int64_t max_;
  std::atomic<int64_t> count_ = 0;
};

// What a client wants published when it is gone; checked.
struct StoredWill {
  std::string property_bag;
  std::string body;
  bool retain = false;
};

// A connection whose CONNECT was accepted, on its way to the thread that it belongs to.
struct AcceptedConnection {
  std::unique_ptr<ConnectionLimit::Slot> slot;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<HomeThreads::Home> home;
  UserName user;
  // As ConnectCheck has them: empty unless a child gateway connected on the client's behalf.
  std::string actor;
  std::vector<iothub::Identity> links;
  bool clean_session = true;
  uint16_t keep_alive_seconds = 0;
  std::optional<StoredWill> will;
  // From now; InfiniteDuration = no end known.
  absl::Duration valid_for = absl::InfiniteDuration();
  // What auth judged by; 0 = it did not say.
  uint64_t identity_version = 0;
  // What came behind the CONNECT already.
  std::string input;
};

}  // namespace holdfast::router
