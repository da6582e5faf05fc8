#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace holdfast {

// Addresses that are remembered; above, the one that is nearest to being forgiven is forgotten.
inline constexpr size_t kFailureAddressesMax = 10'000;

// Counts failed attempts per peer address in a token bucket: a failure takes a token, time gives them back. An address
// that has none left is not listened to until it has one again, so that its TLS handshakes and its questions to auth
// cost those who are let in next to nothing. Attempts that succeed take none: a site behind one address reconnects as
// fast as it can. An IPv6 address stands for its /64. Thread-safe.
class FailureLimit {
 public:
  // `burst` failures at once, at least 1; `per_second` for ever, above 0.
  FailureLimit(int64_t burst, double per_second) : burst_(static_cast<double>(burst)), per_second_(per_second) {}

  // `now` is since boot.
  bool Allows(const boost::asio::ip::address& address, absl::Duration now) const;
  void Failed(const boost::asio::ip::address& address, absl::Duration now);

 private:
  using Key = std::array<uint8_t, 16>;
  struct Bucket {
    double tokens = 0;
    absl::Duration at;
  };
  static Key KeyOf(const boost::asio::ip::address& address);
  double TokensAt(const Bucket& bucket, absl::Duration now) const;
  void MakeRoom(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const double burst_;
  const double per_second_;
  mutable absl::Mutex mutex_;
  // Those that have failed, and are not forgiven.
  absl::flat_hash_map<Key, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast
