#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/btree_set.h"
#include "absl/status/statusor.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

// What the hub said of its identities at once: everybody (a snapshot), or some (a delta). Not thread-safe.
class IdentityChange {
 public:
  enum class Kind { kSnapshot, kDelta };

  explicit IdentityChange(Kind kind) : kind_(kind) {}

  // They are so now. Of two parts that name the same identity the later one counts. RESOURCE_EXHAUSTED if these are
  // more than kIdentitiesMax.
  absl::Status Put(IdentityMap identities);

  // Of a delta only, INVALID_ARGUMENT otherwise: it is gone, a device with its modules; nothing was learnt about it.
  absl::Status Remove(std::string_view device_id, std::string_view module_id);
  absl::Status Unresolved(std::string_view device_id, std::string_view module_id);

  // `before` with this change. RESOURCE_EXHAUSTED above kIdentitiesMax.
  absl::StatusOr<IdentityMap> ApplyTo(const IdentityMap& before) const;

  Kind kind() const { return kind_; }
  // True if whoever waits to hear of `id` has now heard; a module of a device that was named is named too.
  bool Answers(std::string_view id) const;

 private:
  Kind kind_;
  IdentityMap put_;
  absl::btree_set<std::string, std::less<>> removed_;
  absl::btree_set<std::string, std::less<>> unresolved_;
};

// How two sets differ.
struct ChangeCounts {
  uint32_t added = 0;
  uint32_t changed = 0;
  uint32_t removed = 0;
  uint32_t unchanged = 0;
};
ChangeCounts Count(const IdentityMap& before, const IdentityMap& after);

}  // namespace holdfast::auth
