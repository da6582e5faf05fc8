#include "services/auth/sealing.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"

namespace holdfast::auth {
namespace {

constexpr char kFormat = 1;
constexpr size_t kKeyIdBytes = 8;
constexpr size_t kHeaderBytes = 1 + kKeyIdBytes;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
static_assert(kSealedOverheadBytes == kHeaderBytes + kNonceBytes + kTagBytes);

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
};
using ContextPtr = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* Bytes(std::string& s) {
  return reinterpret_cast<unsigned char*>(s.data());
}

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
    const std::string labelled = "holdfast sealing key" + bytes;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(Bytes(std::string_view(labelled)), labelled.size(), digest);
    Key key{.id = {}, .bytes = bytes};
    std::copy_n(digest, kKeyIdBytes, key.id.begin());
    made.push_back(std::move(key));
  }
  return Sealing(std::move(made));
}

std::vector<std::string> Sealing::KeyIds() const {
  std::vector<std::string> ids;
  for (const Key& key : keys_) {
    ids.push_back(
        absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(key.id.data()), key.id.size())));
  }
  return ids;
}

std::string Sealing::KeyId() const {
  return KeyIds().front();
}

bool Sealing::IsSealedWithFirst(std::string_view sealed) const {
  const auto& id = keys_.front().id;
  return sealed.size() >= kSealedOverheadBytes && sealed[0] == kFormat &&
         std::equal(id.begin(), id.end(), Bytes(sealed) + 1);
}

absl::StatusOr<std::string> Sealing::Seal(std::string_view name, uint64_t version, std::string_view plaintext) const {
  if (plaintext.size() > kPlaintextBytesMax) {
    return absl::InvalidArgumentError(fmt::format("more than {} bytes to seal", kPlaintextBytesMax));
  }
  const Key& key = keys_.front();
  std::string sealed(1, kFormat);
  sealed.append(reinterpret_cast<const char*>(key.id.data()), key.id.size());
  const std::string associated = AssociatedData(sealed, name, version);
  sealed.resize(kSealedOverheadBytes + plaintext.size());
  unsigned char* nonce = Bytes(sealed) + kHeaderBytes;
  unsigned char* text = nonce + kNonceBytes;
  const ContextPtr context(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool ok =
      RAND_bytes(nonce, kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(std::string_view(key.bytes)), nonce) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(std::string_view(associated)),
                        static_cast<int>(associated.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), text, &size, Bytes(plaintext), static_cast<int>(plaintext.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), text + plaintext.size(), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, text + plaintext.size()) == 1;
  if (!ok) return absl::InternalError("OpenSSL could not seal a record");
  return sealed;
}

absl::StatusOr<std::string> Sealing::Open(std::string_view name, uint64_t version, std::string_view sealed) const {
  if (sealed.size() < kSealedOverheadBytes || sealed.size() > kSealedOverheadBytes + kPlaintextBytesMax ||
      sealed[0] != kFormat) {
    return absl::DataLossError("not a sealed record of a format that is known");
  }
  const auto key = std::find_if(keys_.begin(), keys_.end(), [&sealed](const Key& k) {
    return std::equal(k.id.begin(), k.id.end(), Bytes(sealed) + 1);
  });
  if (key == keys_.end()) return absl::FailedPreconditionError("sealed with another key");
  const std::string associated = AssociatedData(sealed.substr(0, kHeaderBytes), name, version);
  const unsigned char* nonce = Bytes(sealed) + kHeaderBytes;
  const unsigned char* text = nonce + kNonceBytes;
  std::string plaintext(sealed.size() - kSealedOverheadBytes, '\0');
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  const ContextPtr context(EVP_CIPHER_CTX_new());
  unsigned char no_more[kTagBytes];
  int size = 0;
  const bool ok =
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(std::string_view(key->bytes)), nonce) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(std::string_view(associated)),
                        static_cast<int>(associated.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), Bytes(plaintext), &size, text, static_cast<int>(plaintext.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), no_more, &size) == 1;
  if (!ok) return absl::DataLossError("damaged, or sealed under another name or version");
  return plaintext;
}

}  // namespace holdfast::auth
