#include "cli/dev_device.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

namespace holdfast::cli {
namespace {

constexpr int kKeyBytes = 32;

}  // namespace

absl::StatusOr<std::string> NewDeviceKey() {
  unsigned char bytes[kKeyBytes];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return absl::InternalError("the system gives no random numbers");
  unsigned char text[4 * ((kKeyBytes + 2) / 3) + 1];
  const int length = EVP_EncodeBlock(text, bytes, sizeof bytes);
  OPENSSL_cleanse(bytes, sizeof bytes);
  return std::string(reinterpret_cast<const char*>(text), static_cast<size_t>(length));
}

}  // namespace holdfast::cli
