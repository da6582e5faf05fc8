#include "lib/net/failure_limit.h"

#include <algorithm>

namespace holdfast {
namespace {

constexpr size_t kIpv6NetworkBytes = 8;

}  // namespace

FailureLimit::Key FailureLimit::KeyOf(const boost::asio::ip::address& address) {
  namespace ip = boost::asio::ip;
  if (address.is_v4()) return ip::make_address_v6(ip::v4_mapped, address.to_v4()).to_bytes();
  Key key = address.to_v6().to_bytes();
  if (!address.to_v6().is_v4_mapped()) std::fill(key.begin() + kIpv6NetworkBytes, key.end(), uint8_t{0});
  return key;
}

double FailureLimit::TokensAt(const Bucket& bucket, absl::Duration now) const {
  return std::min(burst_, bucket.tokens + per_second_ * absl::ToDoubleSeconds(now - bucket.at));
}

bool FailureLimit::Allows(const boost::asio::ip::address& address, absl::Duration now) const {
  absl::MutexLock lock(&mutex_);
  const auto it = buckets_.find(KeyOf(address));
  return it == buckets_.end() || TokensAt(it->second, now) >= 1;
}

void FailureLimit::Failed(const boost::asio::ip::address& address, absl::Duration now) {
  const Key key = KeyOf(address);
  absl::MutexLock lock(&mutex_);
  auto it = buckets_.find(key);
  if (it == buckets_.end()) {
    if (buckets_.size() >= kFailureAddressesMax) MakeRoom(now);
    it = buckets_.emplace(key, Bucket{.tokens = burst_, .at = now}).first;
  }
  it->second = {.tokens = std::max(0.0, TokensAt(it->second, now) - 1), .at = now};
}

void FailureLimit::MakeRoom(absl::Duration now) {
  absl::erase_if(buckets_, [&](const auto& entry) { return TokensAt(entry.second, now) >= burst_; });
  if (buckets_.size() < kFailureAddressesMax) return;
  const auto most = std::max_element(buckets_.begin(), buckets_.end(), [&](const auto& a, const auto& b) {
    return TokensAt(a.second, now) < TokensAt(b.second, now);
  });
  buckets_.erase(most);
}

}  // namespace holdfast
