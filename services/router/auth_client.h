#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/rpc/channel.h"

namespace holdfast::router {

// Asks auth who a client is, and what a child gateway may know. Thread-safe.
class AuthClient {
 public:
  using Answer = std::function<void(absl::StatusOr<auth::v1::AuthenticateResponse>)>;
  using ScopePage = std::function<void(absl::StatusOr<auth::v1::GetScopePageResponse>)>;

  // `auth` must outlive it.
  AuthClient(rpc::Channels* auth, absl::Duration timeout) : auth_(auth), timeout_(timeout) {}
  ~AuthClient() { Stop(); }

  // Each calls back exactly once, on a thread of gRPC's. UNAVAILABLE at once when auth is not there.
  void Authenticate(auth::v1::AuthenticateRequest request, Answer answer);
  void GetScopePage(auth::v1::GetScopePageRequest request, ScopePage answer);

  // Cancels what is being asked and waits for the callbacks; from now on everything is answered UNAVAILABLE.
  void Stop();

 private:
  template <typename Service, typename Method, typename Request, typename Response>
  void Ask(Method method, Request request, std::function<void(absl::StatusOr<Response>)> answer);

  rpc::Channels* const auth_;
  const absl::Duration timeout_;
  absl::Mutex mutex_;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::router
