#include "services/store/resealing.h"

#include <algorithm>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/key_uses.h"

namespace holdfast::store {
namespace {

constexpr size_t kStepEntriesMax = 2048;
constexpr size_t kStepBytesMax = 1 << 20;

}  // namespace

void Resealing::Restart() {
  next_.clear();
  values_done_ = false;
  met_damage_ = false;
}

bool Resealing::Step(Transaction& tx, Catalog& catalog) {
  std::vector<KeyUse>& uses = catalog.state().key_uses;
  if (uses.size() < 2) return false;
  if (!values_done_ && !ResealValues(tx)) return true;
  if (met_damage_) return false;
  uint64_t oldest_edge_ms = UINT64_MAX;
  catalog.ForEach("", [&](Queue& queue) { oldest_edge_ms = std::min(oldest_edge_ms, queue.OldestBlockEdgeMs()); });
  const auto over = [&](const KeyUse& use) {
    if (use.last_used_edge_ms == 0 || oldest_edge_ms <= use.last_used_edge_ms) return false;
    if (use.key_id == 0) {
      spdlog::info("nothing is left that was written before encryption was turned on");
    } else {
      spdlog::info("nothing is encrypted with this key any more, it may leave the key file key={}",
                   KeyIdText(use.key_id));
    }
    return true;
  };
  if (std::erase_if(uses, over) > 0) tx.state_changed = true;
  return false;
}

// True once it has been through.
bool Resealing::ResealValues(Transaction& tx) {
  Database::Scan scan(database_, std::string(kEntryPrefix), /*checked=*/true);
  if (!scan.status().ok()) return false;
  size_t bytes = 0;
  size_t entries = 0;
  for (scan.Seek(std::max(std::string(kEntryPrefix), next_)); scan.Valid(); scan.Next()) {
    if (bytes >= kStepBytesMax || entries >= kStepEntriesMax) {
      met_damage_ = met_damage_ || scan.damaged();
      next_ = scan.key();
      return false;
    }
    ++entries;
    const auto entry = DecodeEntry(scan.value());
    if (!entry || (entry->sealed && Encryption::KeyIdOf(entry->value) == encryption_.key_id())) continue;
    const std::string_view key = scan.key().substr(kEntryPrefix.size());
    const auto value = encryption_.OpenEntry(key, scan.value(), *entry);
    if (!value.ok()) {
      spdlog::error("a value can't be sealed anew key={} error={}", Printable(key), Text(value.status()));
      met_damage_ = true;
      continue;
    }
    tx.batch.Put(scan.key(), encryption_.FinishEntry(
                                 key, {.revision = entry->revision, .lease_id = entry->lease_id, .value = *value}));
    bytes += value->size();
  }
  met_damage_ = met_damage_ || scan.damaged();
  if (met_damage_) spdlog::warn("not all values could be sealed anew, the older keys must stay in the key file");
  values_done_ = true;
  return true;
}

}  // namespace holdfast::store
