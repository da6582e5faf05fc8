#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/string_map.h"
#include "lib/iothub/user_name.h"
#include "lib/rpc/channel.h"

namespace holdfast::router {

using iothub::Identity;

// Asks auth who a client is. Thread-safe.
class AuthClient {
 public:
  using Answer = std::function<void(absl::StatusOr<auth::v1::AuthenticateResponse>)>;

  // `auth` must outlive it.
  AuthClient(rpc::Channels* auth, absl::Duration timeout) : auth_(auth), timeout_(timeout) {}
  ~AuthClient() { Stop(); }

  // Calls back exactly once, on a thread of gRPC's. UNAVAILABLE at once when auth is not there.
  void Authenticate(auth::v1::AuthenticateRequest request, Answer answer);

  // Cancels what is being asked and waits for the callbacks; from now on everything is answered UNAVAILABLE.
  void Stop();

 private:
  rpc::Channels* const auth_;
  const absl::Duration timeout_;
  absl::Mutex mutex_;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// What a change of the identities means for sessions. Pure; not thread-safe.
class IdentityChanges {
 public:
  struct Drop {
    Identity identity;
    // Its modules too, whatever their names: set for devices, since a module may have signed with its device's key.
    bool with_modules = false;
    std::string_view reason;
  };

  // Takes one response of WatchIdentities. `first` = the first one of a stream, which lists every identity: what is not
  // in it was removed meanwhile.
  std::vector<Drop> Take(const auth::v1::WatchIdentitiesResponse& response, bool first);

 private:
  static Drop Make(const Identity& identity, std::string_view reason);
  struct Known {
    Identity identity;
    uint64_t version = 0;
    bool enabled = true;
  };
  // By client id.
  StringMap<Known> known_;
};

// Follows auth's identities for as long as it lives, and tells whose sessions must end (P11).
class IdentityWatch {
 public:
  using OnDrop = std::function<void(const IdentityChanges::Drop&)>;

  // Calls `on_drop` on its own thread.
  IdentityWatch(rpc::Channels* auth, OnDrop on_drop);
  ~IdentityWatch();

 private:
  void Loop();
  void FollowOnce();

  rpc::Channels* const auth_;
  const OnDrop on_drop_;
  IdentityChanges changes_;
  rpc::Backoff backoff_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace holdfast::router
