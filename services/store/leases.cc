#include "services/store/leases.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/status.h"
#include "services/store/disk_format.h"

namespace holdfast::store {
namespace {

constexpr size_t kLeasesMax = 100'000;

absl::Status NoLease(uint64_t id) {
  return absl::NotFoundError(fmt::format("there is no lease {}: it has ended, its keys are gone; grant a new one", id));
}

}  // namespace

absl::Status Leases::Load(const Database& database, uint64_t now_edge_ms) {
  leases_.clear();
  {
    Database::Scan scan(database, std::string(kLeasePrefix), /*checked=*/true);
    RETURN_IF_ERROR(scan.status());
    for (scan.SeekFirst(); scan.Valid(); scan.Next()) {
      const auto id = ParseNumberKey(scan.key());
      const auto ttl_ms = DecodeLease(scan.value());
      if (id && ttl_ms) leases_[*id] = {*ttl_ms, now_edge_ms + *ttl_ms, {}};
    }
  }
  Database::Scan scan(database, std::string(kLeasedKeyPrefix), /*checked=*/true);
  for (scan.SeekFirst(); scan.Valid(); scan.Next()) {
    const auto bound = ParseNumberTextKey(scan.key());
    if (!bound) continue;
    // A key whose lease is lost (a damaged place) ends at the first look.
    leases_[bound->number].keys.emplace(bound->text);
  }
  return absl::OkStatus();
}

absl::Status Leases::Grant(Transaction& tx, uint64_t id, uint64_t ttl_ms) {
  if (leases_.size() >= kLeasesMax) {
    return absl::ResourceExhaustedError(fmt::format("there are {} leases, which is the limit", leases_.size()));
  }
  leases_[id] = {ttl_ms, tx.now_edge_ms + ttl_ms, {}};
  tx.batch.Put(LeaseKey(id), EncodeLease(ttl_ms));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Leases::Keep(uint64_t id, uint64_t now_edge_ms) {
  const auto it = leases_.find(id);
  if (it == leases_.end() || it->second.end_edge_ms <= now_edge_ms) return NoLease(id);
  it->second.end_edge_ms = now_edge_ms + it->second.ttl_ms;
  return it->second.ttl_ms;
}

void Leases::Bind(Transaction& tx, uint64_t id, std::string_view key) {
  leases_[id].keys.emplace(key);
  tx.batch.Put(LeasedKeyKey(id, key), "");
}

void Leases::Unbind(Transaction& tx, uint64_t id, std::string_view key) {
  const auto it = leases_.find(id);
  if (it != leases_.end()) it->second.keys.erase(std::string(key));
  tx.batch.Delete(LeasedKeyKey(id, key));
}

absl::StatusOr<std::vector<std::string>> Leases::End(Transaction& tx, uint64_t id) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return NoLease(id);
  std::vector<std::string> keys(it->second.keys.begin(), it->second.keys.end());
  leases_.erase(it);
  tx.batch.Delete(LeaseKey(id));
  return keys;
}

std::vector<uint64_t> Leases::Ended(uint64_t now_edge_ms) const {
  std::vector<uint64_t> ended;
  for (const auto& [id, lease] : leases_) {
    if (lease.end_edge_ms <= now_edge_ms) ended.push_back(id);
  }
  return ended;
}

std::optional<uint64_t> Leases::NextEndEdgeMs() const {
  std::optional<uint64_t> next;
  for (const auto& [id, lease] : leases_) next = std::min(next.value_or(UINT64_MAX), lease.end_edge_ms);
  return next;
}

}  // namespace holdfast::store
