#include "services/store/encryption.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/seal/aes_gcm.h"
#include "lib/seal/key_ring.h"

namespace holdfast::store {
namespace {

constexpr std::string_view kLabel = "holdfast store";
constexpr size_t kSaltBytes = kSealedNonceBytes - seal::kNonceBytes;
constexpr size_t kTextOffset = seal::kKeyIdBytes + kSealedNonceBytes;
static_assert(kSealedOverheadBytes == kTextOffset + seal::kTagBytes);

uint64_t ToNumber(std::string_view bytes) {
  uint64_t number = 0;
  for (const char c : bytes.substr(0, seal::kKeyIdBytes)) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

// Gives seal::kKeyBytes in `out`.
bool Derive(std::string_view key, std::string_view salt, char* out) {
  char text[kLabel.size() + kSaltBytes];
  kLabel.copy(text, kLabel.size());
  salt.copy(text + kLabel.size(), kSaltBytes);
  return HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text),
              sizeof text, reinterpret_cast<unsigned char*>(out), nullptr) != nullptr;
}

std::string_view BeforeChecksum(std::string_view value) {
  return value.substr(0, kBlockChecksumOffset);
}
std::string_view BehindChecksum(std::string_view value) {
  constexpr size_t kEnd = kBlockChecksumOffset + kBlockChecksumBytes;
  return value.substr(kEnd, kBlockHeaderBytes - kEnd);
}

}  // namespace

absl::StatusOr<Encryption> Encryption::Create(const std::vector<std::string>& keys) {
  if (keys.empty()) return absl::InvalidArgumentError("no encryption key");
  Encryption encryption;
  for (const std::string& bytes : keys) {
    if (bytes.size() != seal::kKeyBytes) {
      return absl::InvalidArgumentError(fmt::format("an encryption key has {} bytes", seal::kKeyBytes));
    }
    encryption.keys_.push_back({.id = ToNumber(seal::KeyId(bytes)), .bytes = bytes});
  }
  return encryption;
}

bool Encryption::Has(uint64_t key_id) const {
  return std::any_of(keys_.begin(), keys_.end(), [key_id](const Key& key) { return key.id == key_id; });
}

uint64_t Encryption::KeyIdOf(std::string_view sealed) {
  return ToNumber(sealed);
}

void Encryption::Seal(Bound bound, std::string_view plaintext, char* out) const {
  const Key& key = keys_.front();
  for (size_t i = 0; i < seal::kKeyIdBytes; ++i) out[i] = static_cast<char>(key.id >> (56 - 8 * i));
  char* const nonce = out + seal::kKeyIdBytes;
  char derived[seal::kKeyBytes];
  if (RAND_bytes(reinterpret_cast<unsigned char*>(nonce), kSealedNonceBytes) == 1 &&
      Derive(key.bytes, {nonce, kSaltBytes}, derived) &&
      seal::Encrypt({derived, sizeof derived}, {nonce + kSaltBytes, seal::kNonceBytes}, bound, plaintext,
                    out + kTextOffset)) {
    return;
  }
  // Out of memory or no randomness: nothing may be written as it is instead.
  spdlog::critical("OpenSSL can't seal");
  std::abort();
}

absl::Status Encryption::Open(Bound bound, std::string_view sealed, char* out) const {
  const uint64_t id = KeyIdOf(sealed);
  const auto key = std::find_if(keys_.begin(), keys_.end(), [id](const Key& k) { return k.id == id; });
  if (key == keys_.end()) return absl::DataLossError(fmt::format("sealed with key {:016x}, which is not here", id));
  const std::string_view nonce = sealed.substr(seal::kKeyIdBytes, kSealedNonceBytes);
  char derived[seal::kKeyBytes];
  if (Derive(key->bytes, nonce.substr(0, kSaltBytes), derived) &&
      seal::Decrypt({derived, sizeof derived}, nonce.substr(kSaltBytes), bound, sealed.substr(kTextOffset), out)) {
    return absl::OkStatus();
  }
  return absl::DataLossError("damaged, or sealed for another place");
}

std::string_view Encryption::FinishBlock(std::string_view key, Block* block, std::string* sealed) const {
  if (!on()) {
    PutBlockHeader(block->header, &block->value);
    PutBlockChecksum(key, &block->value);
    return block->value;
  }
  BlockHeader header = block->header;
  header.sealed = true;
  sealed->resize(block->value.size() + kSealedOverheadBytes);
  PutBlockHeader(header, sealed);
  Seal({key, BeforeChecksum(*sealed), BehindChecksum(*sealed)}, block->records(), sealed->data() + kBlockHeaderBytes);
  PutBlockChecksum(key, sealed);
  return *sealed;
}

absl::Status Encryption::OpenBlock(std::string_view key, const BlockHeader& header, std::string_view value,
                                   std::string* out) const {
  if (!header.sealed) {
    out->assign(value);
    return absl::OkStatus();
  }
  out->resize(kBlockHeaderBytes + BlockRecordBytes(header, value));
  return Open({key, BeforeChecksum(value), BehindChecksum(value)}, value.substr(kBlockHeaderBytes),
              out->data() + kBlockHeaderBytes);
}

std::string Encryption::FinishEntry(std::string_view key, const EntryValue& entry) const {
  if (!on()) return Encode(entry);
  std::string out = Encode({.revision = entry.revision, .lease_id = entry.lease_id, .value = {}, .sealed = true});
  out.resize(kEntryHeaderBytes + kSealedOverheadBytes + entry.value.size());
  Seal({EntryKey(key), std::string_view(out).substr(0, kEntryHeaderBytes)}, entry.value,
       out.data() + kEntryHeaderBytes);
  return out;
}

absl::StatusOr<std::string> Encryption::OpenEntry(std::string_view key, std::string_view encoded,
                                                  const EntryValue& entry) const {
  if (!entry.sealed) return std::string(entry.value);
  std::string value(entry.value_bytes(), '\0');
  RETURN_IF_ERROR(Open({EntryKey(key), encoded.substr(0, kEntryHeaderBytes)}, entry.value, value.data()));
  return value;
}

}  // namespace holdfast::store
