#include "services/store/key_uses.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/seal/key_ring.h"

namespace holdfast::store {
namespace {

std::vector<uint64_t> NeededKeys(const std::vector<KeyUse>& uses) {
  std::vector<uint64_t> ids;
  for (const KeyUse& use : uses) {
    if (use.key_id != 0) ids.push_back(use.key_id);
  }
  return ids;
}

}  // namespace

std::string KeyIdText(uint64_t key_id) {
  return fmt::format("{:016x}", key_id);
}

absl::StatusOr<Encryption> LoadEncryption(const std::string& file, const std::string& data_dir,
                                          const std::vector<KeyUse>& uses) {
  const std::vector<uint64_t> needed = NeededKeys(uses);
  if (file.empty()) {
    if (needed.empty()) return Encryption();
    return absl::FailedPreconditionError(fmt::format(
        "the data in {} is encrypted with key {}; set [store] encryption_key_file to the file with that key", data_dir,
        KeyIdText(needed.back())));
  }
  auto keys = seal::ReadKeyRing(file);
  if (absl::IsNotFound(keys.status())) {
    if (!needed.empty()) {
      return absl::FailedPreconditionError(
          fmt::format("the key file {} is missing, and the data in {} is encrypted with key {}; restore the file from "
                      "its copy, or move the data away to begin anew",
                      file, data_dir, KeyIdText(needed.back())));
    }
    keys = seal::MakeKeyRing(file);
    if (keys.ok()) spdlog::warn("encryption key made, keep a copy of it apart from the data path={}", file);
  }
  if (!keys.ok()) return Annotate(keys.status(), "[store] encryption_key_file");
  ASSIGN_OR_RETURN(Encryption encryption, Encryption::Create(*keys));
  for (const uint64_t id : needed) {
    if (encryption.Has(id)) continue;
    return absl::FailedPreconditionError(
        fmt::format("key {} is not in the key file {}, and data in {} is encrypted with it; put that key (32 bytes) "
                    "behind the others in the file, or restore the file from its copy",
                    KeyIdText(id), file, data_dir));
  }
  return encryption;
}

void NoteKeyUse(const Encryption& encryption, bool holds_data, uint64_t now_edge_ms, std::vector<KeyUse>* uses) {
  if (!encryption.on()) return;
  const uint64_t now = std::max<uint64_t>(now_edge_ms, 1);
  if (uses->empty() && holds_data) uses->push_back({.key_id = 0, .last_used_edge_ms = now});
  for (KeyUse& use : *uses) {
    if (use.last_used_edge_ms == 0 && use.key_id != encryption.key_id()) use.last_used_edge_ms = now;
  }
  const auto own =
      std::find_if(uses->begin(), uses->end(), [&](const KeyUse& use) { return use.key_id == encryption.key_id(); });
  if (own != uses->end()) {
    own->last_used_edge_ms = 0;
  } else {
    uses->push_back({.key_id = encryption.key_id(), .last_used_edge_ms = 0});
  }
}

}  // namespace holdfast::store
