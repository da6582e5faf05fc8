#pragma once

#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/string_map.h"
#include "lib/iothub/user_name.h"
#include "lib/rpc/channel.h"

namespace holdfast::router {

using iothub::Identity;

// Removed identities that are remembered, so that a grant given before the removal is not taken for a later one.
inline constexpr size_t kRemovedIdentitiesMax = 20'000;

// What auth's watch has told of the identities, and what a change means for sessions. Thread-safe.
class IdentityChanges {
 public:
  // Whose sessions must end: those of `identity` whose grant is of a version below `holds_from`, or of none (0).
  struct Drop {
    Identity identity;
    // Its modules too, whatever their names: set for devices, since a module may have signed with its device's key.
    bool with_modules = false;
    uint64_t holds_from = 0;
    // It is gone: so is what was kept of it.
    bool removed = false;
    std::string_view reason;

    // Whether it is about that identity.
    bool Means(const Identity& other) const {
      return other == identity || (with_modules && other.device_id == identity.device_id);
    }
  };

  // Takes one response of WatchIdentities. `first` = the first one of a stream, which lists every identity: what is not
  // in it was removed meanwhile.
  std::vector<Drop> Take(const auth::v1::WatchIdentitiesResponse& response, bool first);

  // False if a grant of `version` (AuthenticateResponse.identity_version) was given before a change or a removal that
  // is known here, of the client or of one of those on whom its grant rests (`links`): auth must be asked again (P11).
  // True if auth did not name a version (0).
  bool Holds(const Identity& identity, std::span<const Identity> links, uint64_t version) const;

 private:
  struct Known {
    Identity identity;
    uint64_t version = 0;
    bool enabled = true;
  };
  static Drop Make(const Identity& identity, uint64_t holds_from, std::string_view reason);
  Drop Remove(const Identity& identity, uint64_t version) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HoldsAlone(std::string_view client_id, uint64_t version) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool HoldsOf(const Identity& identity, uint64_t version) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  // By client id.
  StringMap<Known> known_ ABSL_GUARDED_BY(mutex_);
  // The version that was removed; in order of removal.
  StringMap<uint64_t> removed_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> removed_order_ ABSL_GUARDED_BY(mutex_);
};

// Follows auth's identities for as long as it lives, and tells whose sessions must end (P11).
class IdentityWatch {
 public:
  struct Events {
    std::function<void(const IdentityChanges::Drop&)> on_drop;
    // The whole list has come: what changed while the watch was down is known only now, to IdentityChanges::Holds.
    std::function<void()> on_list;
    // Id of the gateway's own device, as often as auth names it.
    std::function<void(const std::string&)> on_gateway_device;
  };

  // `changes` must outlive it; it knows of a change before the event for it. Events come on a thread of its own.
  IdentityWatch(rpc::Channels* auth, IdentityChanges* changes, Events events);
  ~IdentityWatch();

 private:
  void Loop();
  void FollowOnce();

  rpc::Channels* const auth_;
  IdentityChanges* const changes_;
  const Events events_;
  rpc::Backoff backoff_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace holdfast::router
