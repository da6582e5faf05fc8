// Encryption of the store's data at rest: records of blocks and values of keys. Names, counters and headers are not
// sealed. A sealed text (Sealed in disk_format.h) is
//
//   key id:u64      of the key in the key file
//   nonce:byte{24}  random
//   ciphertext      as long as the plaintext
//   tag:byte{16}
//
// AES-256-GCM with the last 12 bytes of the nonce, under HMAC-SHA256("holdfast store" | the first 12 bytes of the
// nonce) by the key of the file. Why not under that key itself: with random nonces of 12 bytes one key is good for 2^32
// texts (NIST SP 800-38D, 8.3), which a busy store writes within weeks; with 24 there is no such end.
//
// Bound to it as associated data, so that what was moved or relabelled does not open: for a block its key (queue, lane,
// first sequence) and its header without the checksum; for a value its key, its revision and its lease.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/store/block.h"
#include "services/store/disk_format.h"

namespace holdfast::store {

// Seals with its first key, opens with any of its keys; without keys, everything is written as it is. What was written
// without keys is read either way. Immutable, thread-safe.
class Encryption {
 public:
  Encryption() = default;  // off
  // Each of `keys` has seal::kKeyBytes; at least one. INVALID_ARGUMENT otherwise.
  static absl::StatusOr<Encryption> Create(const std::vector<std::string>& keys);

  bool on() const { return !keys_.empty(); }
  // Of the key that seals; 0 = off.
  uint64_t key_id() const { return on() ? keys_.front().id : 0; }
  bool Has(uint64_t key_id) const;

  // The value that goes to disk under `key`, of a block whose header is complete and whose records stand behind
  // kBlockHeaderBytes in its value. It is made in place if encryption is off, else in *sealed; the result refers to it.
  std::string_view FinishBlock(std::string_view key, Block* block, std::string* sealed) const;

  // Puts the records of the block that lies on disk under `key` behind kBlockHeaderBytes of *out. `header`: of that
  // value, from ReadBlockHeader(). DATA_LOSS: it does not open; *out is then not to be used.
  absl::Status OpenBlock(std::string_view key, const BlockHeader& header, std::string_view value,
                         std::string* out) const;

  // What goes to disk under EntryKey(key) for an entry whose value is not sealed.
  std::string FinishEntry(std::string_view key, const EntryValue& entry) const;

  // The value of an entry decoded from `encoded`. DATA_LOSS: it does not open.
  absl::StatusOr<std::string> OpenEntry(std::string_view key, std::string_view encoded, const EntryValue& entry) const;

  // The key that a sealed text names, which must have kSealedOverheadBytes or more.
  static uint64_t KeyIdOf(std::string_view sealed);

 private:
  struct Key {
    uint64_t id = 0;
    std::string bytes;
  };
  using Bound = std::initializer_list<std::string_view>;
  void Seal(Bound bound, std::string_view plaintext, char* out) const;
  absl::Status Open(Bound bound, std::string_view sealed, char* out) const;

  std::vector<Key> keys_;
};

}  // namespace holdfast::store
