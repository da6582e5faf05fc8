#include "services/auth/identity_change.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/status.h"

namespace holdfast::auth {
namespace {

absl::Status TooMany() {
  return absl::ResourceExhaustedError(fmt::format(
      "more than {} identities; a gateway takes no more, so divide the children among gateways", kIdentitiesMax));
}

// The id, and of a device its modules.
void Erase(const std::string& id, IdentityMap* identities) {
  identities->erase(id);
  if (id.find('/') != std::string::npos) return;
  const std::string modules = id + "/";
  auto it = identities->lower_bound(modules);
  while (it != identities->end() && it->first.starts_with(modules)) it = identities->erase(it);
}

}  // namespace

absl::Status IdentityChange::Put(IdentityMap identities) {
  for (auto& [id, identity] : identities) {
    put_.insert_or_assign(id, std::move(identity));
    if (put_.size() > kIdentitiesMax) return TooMany();
  }
  return absl::OkStatus();
}

absl::Status IdentityChange::Remove(std::string_view device_id, std::string_view module_id) {
  if (kind_ != Kind::kDelta) return absl::InvalidArgumentError("`removed` is a part of a delta only");
  const std::string id = FullId(device_id, module_id);
  Erase(id, &put_);
  removed_.insert(id);
  return removed_.size() > kIdentitiesMax ? TooMany() : absl::OkStatus();
}

absl::Status IdentityChange::Unresolved(std::string_view device_id, std::string_view module_id) {
  if (kind_ != Kind::kDelta) return absl::InvalidArgumentError("`unresolved` is a part of a delta only");
  unresolved_.insert(FullId(device_id, module_id));
  return unresolved_.size() > kIdentitiesMax ? TooMany() : absl::OkStatus();
}

absl::StatusOr<IdentityMap> IdentityChange::ApplyTo(const IdentityMap& before) const {
  if (kind_ == Kind::kSnapshot) return put_;
  IdentityMap after = before;
  for (const std::string& id : removed_) Erase(id, &after);
  for (const auto& [id, identity] : put_) after.insert_or_assign(id, identity);
  if (after.size() > kIdentitiesMax) return TooMany();
  return after;
}

bool IdentityChange::Answers(std::string_view id) const {
  if (kind_ == Kind::kSnapshot || put_.contains(id) || removed_.contains(id) || unresolved_.contains(id)) return true;
  const std::string_view device = id.substr(0, id.find('/'));
  return device != id && (removed_.contains(device) || unresolved_.contains(device));
}

ChangeCounts Count(const IdentityMap& before, const IdentityMap& after) {
  ChangeCounts counts;
  for (const auto& [id, identity] : after) {
    const auto old = before.find(id);
    ++(old == before.end() ? counts.added : old->second.SameContent(identity) ? counts.unchanged : counts.changed);
  }
  counts.removed = static_cast<uint32_t>(before.size()) - counts.changed - counts.unchanged;
  return counts;
}

}  // namespace holdfast::auth
