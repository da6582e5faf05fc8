#include "services/store/key_value.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::store {

absl::StatusOr<KeyValue::Known> KeyValue::Look(std::string_view key) const {
  if (const auto it = pending_.find(key); it != pending_.end()) return it->second;
  const auto value = database_->Get(EntryKey(key));
  if (absl::IsNotFound(value.status())) return Known{};
  RETURN_IF_ERROR(value.status());
  const auto entry = DecodeEntry(*value);
  if (!entry) return absl::DataLossError(fmt::format("the value of key {} can't be read", Printable(key)));
  return Known{true, entry->revision, entry->lease_id, key.size() + entry->value_bytes()};
}

absl::Status KeyValue::CheckRevision(std::string_view key, std::optional<uint64_t> expected) const {
  if (!expected) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Known known, Look(key));
  const uint64_t revision = known.exists ? known.revision : 0;
  if (revision == *expected) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("key {} has revision {}, not {}; read it again", Printable(key), revision, *expected));
}

absl::Status KeyValue::CheckFence(const Fence& fence) const {
  ASSIGN_OR_RETURN(const Known known, Look(fence.key));
  if (known.exists && known.revision == fence.revision) return absl::OkStatus();
  return absl::AbortedError(fmt::format("displaced: key {} has revision {}, the caller's was {}; do not go on with it",
                                        Printable(fence.key), known.revision, fence.revision));
}

absl::Status KeyValue::CheckPut(std::string_view key, std::optional<uint64_t> expected, uint64_t lease_id) const {
  RETURN_IF_ERROR(CheckRevision(key, expected));
  if (lease_id != 0 && !leases_->Exists(lease_id)) {
    return absl::NotFoundError(fmt::format("there is no lease {}: it has ended; grant a new one", lease_id));
  }
  return absl::OkStatus();
}

absl::Status KeyValue::CheckRoom(const StoreState& state, uint64_t bytes, uint64_t replaced) const {
  if (bytes <= replaced || state.key_value_bytes + bytes - replaced <= bytes_max_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("keys and values take {} bytes of the {} allowed; delete some", state.key_value_bytes, bytes_max_));
}

uint64_t KeyValue::Put(Transaction& tx, StoreState& state, std::string_view key, std::string_view value,
                       uint64_t lease_id) {
  const Known before = Look(key).value_or(Known{});
  const uint64_t revision = ++state.revision;
  tx.batch.Put(EntryKey(key), encryption_->FinishEntry(key, {revision, lease_id, value}));
  if (before.lease_id != lease_id) {
    if (before.lease_id != 0) leases_->Unbind(tx, before.lease_id, key);
    if (lease_id != 0) leases_->Bind(tx, lease_id, key);
  }
  state.key_value_bytes += key.size() + value.size();
  state.key_value_bytes -= std::min(state.key_value_bytes, before.bytes);
  pending_[std::string(key)] = {true, revision, lease_id, key.size() + value.size()};
  tx.changes.push_back({std::string(key), std::string(value), revision, lease_id, false});
  return revision;
}

uint64_t KeyValue::Delete(Transaction& tx, StoreState& state, std::string_view key) {
  // What can't be read is deleted too, that is how one gets rid of it.
  const auto found = Look(key);
  const Known before = found.value_or(Known{.exists = true});
  if (!before.exists) return 0;
  const uint64_t revision = ++state.revision;
  tx.batch.Delete(EntryKey(key));
  if (before.lease_id != 0) leases_->Unbind(tx, before.lease_id, key);
  state.key_value_bytes -= std::min(state.key_value_bytes, before.bytes);
  pending_[std::string(key)] = Known{};
  tx.changes.push_back({std::string(key), "", revision, 0, true});
  return revision;
}

absl::Status KeyValue::EndLease(Transaction& tx, StoreState& state, uint64_t lease_id) {
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, leases_->End(tx, lease_id));
  for (const std::string& key : keys) {
    tx.batch.Delete(LeasedKeyKey(lease_id, key));
    Delete(tx, state, key);
  }
  return absl::OkStatus();
}

}  // namespace holdfast::store
