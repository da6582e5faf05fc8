#include "lib/pki/certificate_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "lib/base/status.h"
#include "lib/pki/certificate.h"
#include "lib/pki/client_chain.h"
#include "lib/pki/file.h"
#include "lib/pki/openssl.h"
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

// Who signs a device CA.
struct Issuer {
  std::vector<Certificate> chain;  // its own first, the root last
  PrivateKey key;
};

absl::StatusOr<Issuer> LoadIssuer(const IssuerFiles& files) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, Certificate::ChainFromFile(files.certificate_file));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromFile(files.key_file));
  const auto refuse = [&files](std::string_view why) {
    return absl::FailedPreconditionError(fmt::format("{}: {}", files.certificate_file, why));
  };
  if (!chain.front().CheckKey(key).ok()) return refuse(fmt::format("{} is not its key", files.key_file));
  if (!chain.front().Summary().is_ca) return refuse("not the certificate of a CA");
  if (X509_get_pathlen(chain.front().get()) == 0) {
    return refuse("this CA may sign no further CA (pathlen 0); take the one above it");
  }
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    if (!chain[i].IsSignedBy(chain[i + 1]))
      return refuse("each certificate must be followed by the one that signed it");
  }
  if (!chain.back().IsSignedBy(chain.back())) return refuse("the last certificate must be the root; add it at the end");
  return Issuer{.chain = std::move(chain), .key = std::move(key)};
}

std::string ChainText(const Certificate& ca, const std::vector<Certificate>& above) {
  std::string text = ca.ToPem();
  for (const Certificate& certificate : above) text += certificate.ToPem();
  return text;
}

// The gateway's own root: kept, or made.
absl::StatusOr<Issuer> OwnRoot(const std::string& dir, const std::string& gateway_name, absl::Time now,
                               InitCertificatesResult* result) {
  const std::string path = dir + "/" + kRootCaFile, key_path = dir + "/" + kRootCaKeyFile;
  RETURN_IF_ERROR(CheckHasKey(path, key_path));
  ASSIGN_OR_RETURN(PrivateKey key, KeptOrMadeKey(key_path, result));
  ASSIGN_OR_RETURN(std::optional<Certificate> root, Kept(path, key_path, result));
  if (!root) {
    ASSIGN_OR_RETURN(root, MakeRootCa(key, fmt::format("Holdfast root CA {}", gateway_name), now));
    RETURN_IF_ERROR(WriteNewFile(path, root->ToPem(), kCertificateMode));
    result->made.push_back(path);
  }
  return Issuer{.chain = {*root}, .key = std::move(key)};
}

// The operator's CA, its root put where clients find it.
absl::StatusOr<Issuer> TheirRoot(const std::string& dir, const IssuerFiles& files, InitCertificatesResult* result) {
  const std::string path = dir + "/" + kRootCaFile;
  ASSIGN_OR_RETURN(Issuer issuer, LoadIssuer(files));
  if (!Exists(path)) {
    RETURN_IF_ERROR(WriteNewFile(path, issuer.chain.back().ToPem(), kCertificateMode));
    result->made.push_back(path);
    return issuer;
  }
  ASSIGN_OR_RETURN(const std::vector<Certificate> there, Certificate::ChainFromFile(path));
  if (there.front().Summary().sha256 != issuer.chain.back().Summary().sha256) {
    return absl::FailedPreconditionError(
        fmt::format("{} is another root than that of {}; move the old files away and run this again", path,
                    files.certificate_file));
  }
  result->kept.push_back(path);
  return issuer;
}

}  // namespace

absl::StatusOr<InitCertificatesResult> InitCertificates(const std::string& dir, const std::string& gateway_name,
                                                        absl::Time now, const IssuerFiles* issuer_files) {
  const std::string ca_path = dir + "/" + kDeviceCaFile, ca_key_path = dir + "/" + kDeviceCaKeyFile;
  InitCertificatesResult result;
  RETURN_IF_ERROR(MakeDirectory(dir, kFolderMode));
  if (IsCompleteWithoutRootKey(dir)) {
    result.kept = {dir + "/" + kRootCaFile, ca_key_path};
    RETURN_IF_ERROR(Kept(ca_path, ca_key_path, &result).status());
    return result;
  }
  RETURN_IF_ERROR(CheckHasKey(ca_path, ca_key_path));
  ASSIGN_OR_RETURN(const Issuer issuer, issuer_files == nullptr ? OwnRoot(dir, gateway_name, now, &result)
                                                                : TheirRoot(dir, *issuer_files, &result));
  ASSIGN_OR_RETURN(const PrivateKey ca_key, KeptOrMadeKey(ca_key_path, &result));
  ASSIGN_OR_RETURN(std::optional<Certificate> ca, Kept(ca_path, ca_key_path, &result));
  if (ca) return result;
  ASSIGN_OR_RETURN(ca, MakeDeviceCa(ca_key, fmt::format("Holdfast device CA {}", gateway_name), issuer.chain.front(),
                                    issuer.key, now));
  RETURN_IF_ERROR(WriteNewFile(ca_path, ChainText(*ca, issuer.chain), kCertificateMode));
  result.made.push_back(ca_path);
  return result;
}

absl::StatusOr<absl::Time> RenewDeviceCa(const std::string& dir, absl::Time now, const IssuerFiles* issuer_files) {
  const std::string ca_path = dir + "/" + kDeviceCaFile, root_key_path = dir + "/" + kRootCaKeyFile;
  ASSIGN_OR_RETURN(const std::vector<Certificate> old, Certificate::ChainFromFile(ca_path));
  ASSIGN_OR_RETURN(const PrivateKey ca_key, PrivateKey::FromFile(dir + "/" + kDeviceCaKeyFile));
  RETURN_IF_ERROR(old.front().CheckKey(ca_key));
  if (issuer_files == nullptr && !Exists(root_key_path)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not here, and it must sign; bring it back for this, or name your own CA with --issuer-cert "
                    "and --issuer-key",
                    root_key_path));
  }
  ASSIGN_OR_RETURN(const Issuer issuer, issuer_files != nullptr ? LoadIssuer(*issuer_files)
                                                                : LoadIssuer({dir + "/" + kRootCaFile, root_key_path}));
  ASSIGN_OR_RETURN(const std::vector<Certificate> roots, Certificate::ChainFromFile(dir + "/" + kRootCaFile));
  if (roots.front().Summary().sha256 != issuer.chain.back().Summary().sha256) {
    return absl::FailedPreconditionError(
        "the clients trust another root than this CA's; with it, they would not trust the gateway any more");
  }
  ASSIGN_OR_RETURN(const Certificate ca,
                   MakeDeviceCa(ca_key, CommonName(old.front()), issuer.chain.front(), issuer.key, now));
  if (ca.not_after() <= old.front().not_after()) {
    const bool is_cut = ca.not_after() >= issuer.chain.front().not_after();
    return absl::FailedPreconditionError(
        fmt::format("a new device CA would end {}, no later than the one in place{}",
                    absl::FormatTime(absl::RFC3339_sec, ca.not_after(), absl::UTCTimeZone()),
                    is_cut ? ", because the CA that signs it ends then; renew that one first" : ""));
  }
  RETURN_IF_ERROR(ReplaceFile(ca_path, ChainText(ca, issuer.chain), kCertificateMode));
  return ca.not_after();
}

absl::StatusOr<absl::Time> IssueServerFiles(const std::string& dir, const std::string& out_dir,
                                            const std::vector<std::string>& names, absl::Time now) {
  const std::string path = out_dir + "/" + kServerFile, key_path = out_dir + "/" + kServerKeyFile;
  ASSIGN_OR_RETURN(const std::vector<Certificate> chain, Certificate::ChainFromFile(dir + "/" + kDeviceCaFile));
  ASSIGN_OR_RETURN(const PrivateKey ca_key, PrivateKey::FromFile(dir + "/" + kDeviceCaKeyFile));
  RETURN_IF_ERROR(chain.front().CheckKey(ca_key));
  RETURN_IF_ERROR(chain.front().CheckDates(std::max(now, chain.front().not_before()), dir + "/" + kDeviceCaFile));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate());
  ASSIGN_OR_RETURN(const Certificate leaf, MakeServerCertificate(key, names, chain.front(), ca_key, now));
  std::string text = leaf.ToPem();
  for (const Certificate& certificate : chain) {
    if (!certificate.IsSignedBy(certificate)) text += certificate.ToPem();
  }
  if (Exists(path)) return absl::AlreadyExistsError(fmt::format("{} is there already; move it away", path));
  RETURN_IF_ERROR(MakeDirectory(out_dir, kFolderMode));
  RETURN_IF_ERROR(WriteNewFile(key_path, key.ToPem(), kKeyMode));
  RETURN_IF_ERROR(WriteNewFile(path, text, kCertificateMode));
  return leaf.not_after();
}

}  // namespace holdfast::pki
