#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace holdfast::auth {

// Counts failed attempts, and says whose next ones are not worth a look. What is limited is an address, or an identity
// from an address; an identity as such never, or a stranger could lock a device out. So a client with a good credential
// is kept out only by failures of its own address, and by those of others behind its address only until it was let in
// once. Bounded: kEntriesMax, the longest untouched ones are forgotten. Thread-safe.
class FailureLimits {
 public:
  static constexpr size_t kEntriesMax = 16'384;

  struct Options {
    int64_t per_client_max = 20;     // failures of one identity from one address within `window`
    int64_t per_address_max = 600;   // of all identities from one address
    int64_t per_identity_max = 200;  // of one identity from all addresses; then each address has one more
    absl::Duration window = absl::Minutes(1);
    absl::Duration block = absl::Minutes(1);  // how long attempts are not looked at
  };

  explicit FailureLimits(const Options& options) : options_(options) {}

  // Each: `peer` is "192.0.2.7:50412" or "[2001:db8::1]:50412"; IPv6 counts by its first 64 bits. Without a peer
  // nothing is limited. `now`: time since boot.
  bool IsBlocked(std::string_view id, std::string_view peer, absl::Duration now);
  void Failed(std::string_view id, std::string_view peer, absl::Duration now);
  void Succeeded(std::string_view id, std::string_view peer, absl::Duration now);

  size_t size() const;

 private:
  struct Entry {
    std::string key;
    int64_t failures = 0;
    absl::Duration since;                                      // when the window began
    absl::Duration blocked_until = -absl::InfiniteDuration();  // since boot
    bool was_let_in = false;
  };
  using Entries = std::list<Entry>;

  Entry* Find(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry& FindOrMake(const std::string& key, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(const std::string& key, int64_t max, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // the longest untouched first
  absl::flat_hash_map<std::string, Entries::iterator> by_key_ ABSL_GUARDED_BY(mutex_);
};

// What a peer is counted by: "192.0.2.7", "2001:db8::/64"; "" if it has no address.
std::string AddressOf(std::string_view peer);

}  // namespace holdfast::auth
