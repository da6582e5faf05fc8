// Which keys a store needs: the list in its state (StoreState::key_uses) and the key file, held against each other at
// start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/store/database.h"
#include "services/store/disk_format.h"
#include "services/store/encryption.h"

namespace holdfast::store {

// Reads the key file of a store that needs the keys of `uses`. The file is made if it is missing and no key is needed.
// `file` empty = encryption is off. Errors, each with what to do: the file can't be read or made, or
// FAILED_PRECONDITION: a key that is needed is not in it.
absl::StatusOr<Encryption> LoadEncryption(const std::string& file, const std::string& data_dir,
                                          const std::vector<KeyUse>& uses);

// After a repair, which may have put the list back or lost it: adds what the values of keys and the blocks at both ends
// of each lane are sealed with. Nothing if that is no key at all and none is in the list.
void AddKeysFound(const Database& database, std::vector<KeyUse>* uses);

// Notes that the first key of `encryption` seals from now on; nothing if it is off. `holds_data`: the store may hold
// what was written before encryption was turned on.
void NoteKeyUse(const Encryption& encryption, bool holds_data, uint64_t now_edge_ms, std::vector<KeyUse>* uses);

// 16 hexadecimal digits, as in `holdfast keys show`.
std::string KeyIdText(uint64_t key_id);

}  // namespace holdfast::store
