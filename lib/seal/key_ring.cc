#include "lib/seal/key_ring.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <filesystem>

#include "lib/base/status.h"
#include "lib/pki/file.h"

namespace holdfast::seal {

absl::StatusOr<std::vector<std::string>> SplitKeys(std::string_view bytes, const std::string& path) {
  if (bytes.empty() || bytes.size() % kKeyBytes != 0 || bytes.size() > kKeysMax * kKeyBytes) {
    return absl::FailedPreconditionError(
        fmt::format("the sealing key {} has {} bytes, not {} (or, while keys are rotated, a multiple of it up to {}); "
                    "restore it from its copy",
                    path, bytes.size(), kKeyBytes, kKeysMax * kKeyBytes));
  }
  std::vector<std::string> keys;
  for (size_t i = 0; i < bytes.size(); i += kKeyBytes) keys.emplace_back(bytes.substr(i, kKeyBytes));
  return keys;
}

absl::StatusOr<std::vector<std::string>> ReadKeyRing(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, pki::ReadSecretFile(path));
  return SplitKeys(bytes, path);
}

absl::StatusOr<std::vector<std::string>> MakeKeyRing(const std::string& path) {
  ASSIGN_OR_RETURN(std::string key, NewKey());
  const std::string folder = std::filesystem::path(path).parent_path().string();
  RETURN_IF_ERROR(pki::MakeDirectory(folder.empty() ? "." : folder, 0700));
  RETURN_IF_ERROR(pki::WriteNewFile(path, key, 0600));
  return std::vector<std::string>{std::move(key)};
}

absl::StatusOr<std::string> NewKey() {
  std::string key(kKeyBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), kKeyBytes) != 1) {
    return absl::InternalError("the system has no randomness to give");
  }
  return key;
}

std::string KeyId(std::string_view key) {
  const std::string labelled = std::string("holdfast sealing key").append(key);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(labelled.data()), labelled.size(), digest);
  return {reinterpret_cast<const char*>(digest), kKeyIdBytes};
}

}  // namespace holdfast::seal
