#include "lib/pki/certificate_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "lib/base/status.h"
#include "lib/pki/certificate.h"
#include "lib/pki/file.h"
#include "lib/pki/private_key.h"

namespace holdfast::pki {
namespace {

constexpr unsigned kFolderMode = 0700;
constexpr unsigned kKeyMode = 0600;
constexpr unsigned kCertificateMode = 0644;

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

absl::StatusOr<PrivateKey> KeptOrMadeKey(const std::string& path, InitCertificatesResult* result) {
  if (Exists(path)) {
    result->kept.push_back(path);
    return PrivateKey::FromFile(path);
  }
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  RETURN_IF_ERROR(WriteNewFile(path, key.ToPem(), kKeyMode));
  result->made.push_back(path);
  return key;
}

// The certificate in `path` if it is there, which must be that of the key in `key_path`.
absl::StatusOr<std::optional<Certificate>> Kept(const std::string& path, const std::string& key_path,
                                                InitCertificatesResult* result) {
  if (!Exists(path)) return std::nullopt;
  ASSIGN_OR_RETURN(const std::vector<Certificate> chain, Certificate::ChainFromFile(path));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::FromFile(key_path));
  if (!chain.front().CheckKey(key).ok()) {
    return absl::FailedPreconditionError(fmt::format(
        "{} is not the key of {}; restore the right one, or move both away and run this again", key_path, path));
  }
  result->kept.push_back(path);
  return chain.front();
}

absl::Status CheckHasKey(const std::string& path, const std::string& key_path) {
  if (!Exists(path) || Exists(key_path)) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} is there but its key {} is not; restore the key, or move both away and run this again", path, key_path));
}

// A CA whose own key was moved to a safe place is complete as long as nothing needs that key.
bool IsCompleteWithoutRootKey(const std::string& dir) {
  return Exists(dir + "/" + kRootCaFile) && Exists(dir + "/" + kDeviceCaFile) && Exists(dir + "/" + kDeviceCaKeyFile) &&
         !Exists(dir + "/" + kRootCaKeyFile);
}

}  // namespace

absl::StatusOr<InitCertificatesResult> InitCertificates(const std::string& dir, const std::string& gateway_name,
                                                        absl::Time now) {
  const std::string root_path = dir + "/" + kRootCaFile, root_key_path = dir + "/" + kRootCaKeyFile;
  const std::string ca_path = dir + "/" + kDeviceCaFile, ca_key_path = dir + "/" + kDeviceCaKeyFile;
  InitCertificatesResult result;
  RETURN_IF_ERROR(MakeDirectory(dir, kFolderMode));
  if (IsCompleteWithoutRootKey(dir)) {
    result.kept = {root_path, ca_key_path};
    RETURN_IF_ERROR(Kept(ca_path, ca_key_path, &result).status());
    return result;
  }
  RETURN_IF_ERROR(CheckHasKey(root_path, root_key_path));
  RETURN_IF_ERROR(CheckHasKey(ca_path, ca_key_path));

  ASSIGN_OR_RETURN(const PrivateKey root_key, KeptOrMadeKey(root_key_path, &result));
  ASSIGN_OR_RETURN(std::optional<Certificate> root, Kept(root_path, root_key_path, &result));
  if (!root) {
    ASSIGN_OR_RETURN(root, MakeRootCa(root_key, fmt::format("Holdfast root CA {}", gateway_name), now));
    RETURN_IF_ERROR(WriteNewFile(root_path, root->ToPem(), kCertificateMode));
    result.made.push_back(root_path);
  }
  ASSIGN_OR_RETURN(const PrivateKey ca_key, KeptOrMadeKey(ca_key_path, &result));
  ASSIGN_OR_RETURN(std::optional<Certificate> ca, Kept(ca_path, ca_key_path, &result));
  if (!ca) {
    ASSIGN_OR_RETURN(ca,
                     MakeDeviceCa(ca_key, fmt::format("Holdfast device CA {}", gateway_name), *root, root_key, now));
    RETURN_IF_ERROR(WriteNewFile(ca_path, ca->ToPem() + root->ToPem(), kCertificateMode));
    result.made.push_back(ca_path);
  }
  return result;
}

}  // namespace holdfast::pki
