#include "services/auth/tpm_blob.h"

namespace holdfast::auth {
namespace {

constexpr std::string_view kMagic = "holdfast tpm 1\n";
constexpr size_t kSizeBytes = 2;

// Takes a part off the front; "" if there is none that is whole.
std::string TakePart(std::string_view* bytes) {
  if (bytes->size() < kSizeBytes) return "";
  const size_t size =
      kSizeBytes + (static_cast<unsigned char>((*bytes)[0]) << 8 | static_cast<unsigned char>((*bytes)[1]));
  if (size == kSizeBytes || size > kTpmPartBytesMax || size > bytes->size()) return "";
  std::string part(bytes->substr(0, size));
  bytes->remove_prefix(size);
  return part;
}

}  // namespace

bool LooksLikeTpmBlob(std::string_view bytes) {
  return bytes.starts_with(kMagic);
}

std::string WriteTpmBlob(const TpmBlob& blob) {
  return std::string(kMagic) + blob.public_area + blob.private_area;
}

absl::StatusOr<TpmBlob> ReadTpmBlob(std::string_view bytes) {
  if (!LooksLikeTpmBlob(bytes)) return absl::DataLossError("not a secret that a TPM has sealed");
  bytes.remove_prefix(kMagic.size());
  TpmBlob blob{.public_area = TakePart(&bytes), .private_area = TakePart(&bytes)};
  if (blob.public_area.empty() || blob.private_area.empty() || !bytes.empty()) {
    return absl::DataLossError("cut off or damaged");
  }
  return blob;
}

}  // namespace holdfast::auth
