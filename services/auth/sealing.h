// Sealed blobs: AES-256-GCM with a fresh random nonce each. A blob is
//
//   byte  0       format, 1
//   bytes 1-8     key id (seal::KeyId)
//   bytes 9-20    nonce
//   then          ciphertext, as long as the plaintext
//   last 16       tag
//
// Associated data: bytes 0-8, the record's name with its length, and its version. So a blob that was moved to another
// name or version does not open, and one of another key says so by its key id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/seal/key_ring.h"

namespace holdfast::auth {

inline constexpr size_t kSealingKeyBytes = seal::kKeyBytes;
inline constexpr size_t kSealedOverheadBytes = 1 + seal::kKeyIdBytes + seal::kNonceBytes + seal::kTagBytes;
inline constexpr size_t kPlaintextBytesMax = 1 << 20;

// Seals with its first key, opens with any of its keys (the old one while keys are rotated). Immutable, thread-safe.
class Sealing {
 public:
  // Each key has kSealingKeyBytes; at least one. INVALID_ARGUMENT otherwise.
  static absl::StatusOr<Sealing> Create(const std::vector<std::string>& keys);

  absl::StatusOr<std::string> Seal(std::string_view name, uint64_t version, std::string_view plaintext) const;

  // FAILED_PRECONDITION if no key of ours made it; DATA_LOSS if it is damaged or was sealed under another name or
  // version.
  absl::StatusOr<std::string> Open(std::string_view name, uint64_t version, std::string_view sealed) const;

  // True if its first key sealed this, as far as the header tells.
  bool IsSealedWithFirst(std::string_view sealed) const;

  // Of all keys, as KeyId().
  std::vector<std::string> KeyIds() const;

  // Of the first key, 16 hexadecimal digits; no secret.
  std::string KeyId() const;

 private:
  struct Key {
    std::string id;
    std::string bytes;
  };
  explicit Sealing(std::vector<Key> keys) : keys_(std::move(keys)) {}
  std::vector<Key> keys_;
};

}  // namespace holdfast::auth
