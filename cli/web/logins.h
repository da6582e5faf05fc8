#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/net/failure_limit.h"

namespace holdfast::web {

// Who may look. The token opens a session, which the browser holds in a cookie and this process in memory: a restart
// ends all sessions, and the token itself is seen once. Tokens and sessions are compared by their SHA-256, so that the
// time it takes tells nothing of them. Thread-safe.
class Logins {
 public:
  static constexpr size_t kSessionsMax = 64;  // the one that ends first gives way
  static constexpr absl::Duration kSessionLife = absl::Hours(12);
  // Wrong tokens of one address: so many at once, then one in ten seconds; beyond that nothing is looked at.
  static constexpr int64_t kWrongBurst = 5;
  static constexpr double kWrongPerSecond = 0.1;

  explicit Logins(std::string_view token);

  // A new session's secret. PERMISSION_DENIED: the token is wrong. RESOURCE_EXHAUSTED: too many wrong ones from there.
  // `now`: since boot.
  absl::StatusOr<std::string> LogIn(std::string_view token, const boost::asio::ip::address& peer, absl::Duration now);
  bool Holds(std::string_view session, absl::Duration now) const;
  void LogOut(std::string_view session);

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest DigestOf(std::string_view text);

  const Digest token_;
  FailureLimit wrong_{kWrongBurst, kWrongPerSecond};
  mutable absl::Mutex mutex_;
  std::map<Digest, absl::Duration> sessions_ ABSL_GUARDED_BY(mutex_);  // with their ends
};

// 256 random bits, URL-safe base64.
std::string RandomSecret();

}  // namespace holdfast::web
