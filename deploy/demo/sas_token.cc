#include "deploy/demo/sas_token.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cctype>

namespace holdfast::demo {
namespace {

constexpr size_t kKeyTextMax = 256;

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped.push_back(static_cast<char>(c));
    } else {
      escaped += fmt::format("%{:02X}", c);
    }
  }
  return escaped;
}

}  // namespace

std::string MakeSasToken(std::string_view hub_hostname, std::string_view device_id, std::string_view key,
                         int64_t expires_unix_seconds) {
  unsigned char secret[kKeyTextMax];
  if (key.size() > kKeyTextMax) return "";
  int secret_size =
      EVP_DecodeBlock(secret, reinterpret_cast<const unsigned char*>(key.data()), static_cast<int>(key.size()));
  if (secret_size <= 0) return "";
  for (size_t i = key.size(); i > 0 && key[i - 1] == '='; --i) --secret_size;
  const std::string resource = Escape(fmt::format("{}/devices/{}", hub_hostname, device_id));
  const std::string text = fmt::format("{}\n{}", resource, expires_unix_seconds);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_size = 0;
  HMAC(EVP_sha256(), secret, secret_size, reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest,
       &digest_size);
  unsigned char signature[4 * EVP_MAX_MD_SIZE / 3 + 4];
  const int length = EVP_EncodeBlock(signature, digest, static_cast<int>(digest_size));
  return fmt::format("SharedAccessSignature sr={}&sig={}&se={}", resource,
                     Escape({reinterpret_cast<const char*>(signature), static_cast<size_t>(length)}),
                     expires_unix_seconds);
}

}  // namespace holdfast::demo
