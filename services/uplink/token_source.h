#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/rpc/channel.h"

namespace holdfast::uplink {

// A token of the gateway's own identity, as auth signed it.
struct Token {
  std::string password;  // a secret: never logged
  // Whose.
  std::string device_id;
  std::string hub_hostname;
  // By Clock::SinceBoot.
  absl::Duration made_at;
  absl::Duration lifetime;

  // From when a connection that uses it is renewed at an idle moment, and by when in any case.
  absl::Duration renew_from() const { return made_at + 0.8 * lifetime; }
  absl::Duration renew_by() const { return made_at + 0.9 * lifetime; }
};

// Keeps a fresh token at hand: asks auth for one at the start, then whenever a quarter of the last one's life is over,
// with back-off until auth answers. So that any connection begins with most of a token's life before it. Thread-safe.
class TokenSource {
 public:
  // Called on the source's thread.
  struct Callbacks {
    std::function<void(Token)> on_token;
    // auth does not answer, or holds no key; trying again. Once for each new reason.
    std::function<void(absl::Status)> on_problem;
  };

  // `auth` and `clock` must outlive it.
  TokenSource(rpc::Channels* auth, absl::Duration lifetime, const Clock& clock, Callbacks callbacks);
  ~TokenSource();

  void Start();
  void Stop();
  // The hub refused the last one: perhaps the key was changed. At most one in 5 s.
  void RenewNow();

 private:
  void Run();
  absl::StatusOr<Token> Ask();

  rpc::Channels* const auth_;
  const absl::Duration lifetime_;
  const Clock& clock_;
  const Callbacks callbacks_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool now_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast::uplink
