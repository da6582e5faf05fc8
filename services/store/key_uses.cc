#include "services/store/key_uses.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

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

// Ids of keys on disk, 0 for what is not sealed.
struct Found {
  std::set<uint64_t> key_ids;
  uint64_t newest_edge_ms = 1;  // of the blocks that were looked at

  void AddBlock(std::string_view key, std::string_view value) {
    const auto header = ReadBlockHeader(key, value);
    if (!header || header->hole) return;
    key_ids.insert(header->sealed ? Encryption::KeyIdOf(value.substr(kBlockHeaderBytes)) : 0);
    newest_edge_ms = std::max(newest_edge_ms, header->edge_ms);
  }
  void AddEntry(std::string_view value) {
    const auto entry = DecodeEntry(value);
    if (entry) key_ids.insert(entry->sealed ? Encryption::KeyIdOf(entry->value) : 0);
  }
};

void LookThroughEntries(const Database& database, Found* found) {
  Database::Scan entries(database, std::string(kEntryPrefix), /*checked=*/false);
  for (entries.SeekFirst(); entries.Valid(); entries.Next()) found->AddEntry(entries.value());
}

void LookAtEndsOfLanes(const Database& database, Found* found) {
  Database::Scan blocks(database, std::string(kBlockPrefix), /*checked=*/false);
  blocks.SeekFirst();
  while (blocks.Valid()) {
    const auto first = ParseBlockKey(blocks.key());
    if (!first) break;
    found->AddBlock(blocks.key(), blocks.value());
    const std::string behind = BlockKey(first->queue_id, first->priority, UINT64_MAX);
    blocks.SeekBefore(behind);
    if (blocks.Valid()) found->AddBlock(blocks.key(), blocks.value());
    blocks.Seek(behind);
  }
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

void AddKeysFound(const Database& database, std::vector<KeyUse>* uses) {
  Found found;
  LookThroughEntries(database, &found);
  LookAtEndsOfLanes(database, &found);
  if (uses->empty() && (found.key_ids.empty() || *found.key_ids.rbegin() == 0)) return;
  for (const uint64_t id : found.key_ids) {
    const auto known = std::find_if(uses->begin(), uses->end(), [id](const KeyUse& use) { return use.key_id == id; });
    if (known == uses->end()) {
      uses->push_back({.key_id = id, .last_used_edge_ms = found.newest_edge_ms});
    } else if (known->last_used_edge_ms != 0) {
      known->last_used_edge_ms = std::max(known->last_used_edge_ms, found.newest_edge_ms);
    }
  }
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
