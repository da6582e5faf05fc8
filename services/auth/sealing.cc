#include "services/auth/sealing.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"

namespace holdfast::auth {
namespace {

constexpr char kFormat = 1;
constexpr size_t kHeaderBytes = 1 + seal::kKeyIdBytes;
constexpr size_t kTextOffset = kHeaderBytes + seal::kNonceBytes;

void AppendBigEndian(uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

std::string AssociatedData(std::string_view header, std::string_view name, uint64_t version) {
  std::string data(header);
  AppendBigEndian(name.size(), &data);
  data.append(name);
  AppendBigEndian(version, &data);
  return data;
}

}  // namespace

absl::StatusOr<Sealing> Sealing::Create(const std::vector<std::string>& keys) {
  if (keys.empty()) return absl::InvalidArgumentError("no sealing key");
  std::vector<Key> made;
  for (const std::string& bytes : keys) {
    if (bytes.size() != kSealingKeyBytes) {
      return absl::InvalidArgumentError(fmt::format("a sealing key has {} bytes", kSealingKeyBytes));
    }
    made.push_back({.id = seal::KeyId(bytes), .bytes = bytes});
  }
  return Sealing(std::move(made));
}

std::vector<std::string> Sealing::KeyIds() const {
  std::vector<std::string> ids;
  for (const Key& key : keys_) ids.push_back(absl::BytesToHexString(absl::string_view(key.id.data(), key.id.size())));
  return ids;
}

std::string Sealing::KeyId() const {
  return KeyIds().front();
}

bool Sealing::IsSealedWithFirst(std::string_view sealed) const {
  return sealed.size() >= kSealedOverheadBytes && sealed[0] == kFormat &&
         sealed.substr(1, seal::kKeyIdBytes) == keys_.front().id;
}

absl::StatusOr<std::string> Sealing::Seal(std::string_view name, uint64_t version, std::string_view plaintext) const {
  if (plaintext.size() > kPlaintextBytesMax) {
    return absl::InvalidArgumentError(fmt::format("more than {} bytes to seal", kPlaintextBytesMax));
  }
  const Key& key = keys_.front();
  std::string sealed(1, kFormat);
  sealed.append(key.id);
  const std::string associated = AssociatedData(sealed, name, version);
  sealed.resize(kSealedOverheadBytes + plaintext.size());
  char* const nonce = sealed.data() + kHeaderBytes;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(nonce), seal::kNonceBytes) != 1 ||
      !seal::Encrypt(key.bytes, {nonce, seal::kNonceBytes}, {associated}, plaintext, sealed.data() + kTextOffset)) {
    return absl::InternalError("OpenSSL could not seal a record");
  }
  return sealed;
}

absl::StatusOr<std::string> Sealing::Open(std::string_view name, uint64_t version, std::string_view sealed) const {
  if (sealed.size() < kSealedOverheadBytes || sealed.size() > kSealedOverheadBytes + kPlaintextBytesMax ||
      sealed[0] != kFormat) {
    return absl::DataLossError("not a sealed record of a format that is known");
  }
  const std::string_view id = sealed.substr(1, seal::kKeyIdBytes);
  const auto key = std::find_if(keys_.begin(), keys_.end(), [id](const Key& k) { return k.id == id; });
  if (key == keys_.end()) return absl::FailedPreconditionError("sealed with another key");
  const std::string associated = AssociatedData(sealed.substr(0, kHeaderBytes), name, version);
  std::string plaintext(sealed.size() - kSealedOverheadBytes, '\0');
  if (!seal::Decrypt(key->bytes, sealed.substr(kHeaderBytes, seal::kNonceBytes), {associated},
                     sealed.substr(kTextOffset), plaintext.data())) {
    return absl::DataLossError("damaged, or sealed under another name or version");
  }
  return plaintext;
}

}  // namespace holdfast::auth
