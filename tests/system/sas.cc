#include "tests/system/sas.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <time.h>

#include <vector>

namespace holdfast::systest {
namespace {

std::string Base64(const unsigned char* data, size_t size) {
  std::string text(4 * ((size + 2) / 3) + 1, '\0');
  const int n = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), data, static_cast<int>(size));
  text.resize(static_cast<size_t>(n));
  return text;
}

std::string FromBase64(std::string_view text) {
  std::string data(text.size() / 4 * 3, '\0');
  const int n = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(data.data()),
                                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (n < 0) return "";
  data.resize(static_cast<size_t>(n));
  while (text.ends_with('=')) {
    text.remove_suffix(1);
    data.pop_back();
  }
  return data;
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

std::string SasToken(std::string_view hub_hostname, std::string_view device, std::string_view key, int seconds,
                     std::string_view module) {
  std::string resource = fmt::format("{}/devices/{}", hub_hostname, device);
  if (!module.empty()) resource += fmt::format("/modules/{}", module);
  const std::string encoded = PercentEncode(resource);
  const std::string expiry = std::to_string(::time(nullptr) + seconds);
  const std::string to_sign = encoded + "\n" + expiry;
  const std::string secret = FromBase64(key);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char*>(to_sign.data()), to_sign.size(), digest, &size);
  return fmt::format("SharedAccessSignature sr={}&sig={}&se={}", encoded, PercentEncode(Base64(digest, size)), expiry);
}

std::string NewKey() {
  unsigned char bytes[32];
  ::RAND_bytes(bytes, sizeof(bytes));
  return Base64(bytes, sizeof(bytes));
}

}  // namespace holdfast::systest
