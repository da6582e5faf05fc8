#include "services/auth/certificate_issuer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "lib/base/status.h"
#include "lib/iothub/sas_token.h"
#include "lib/pki/certificate.h"
#include "lib/pki/file.h"
#include "lib/pki/private_key.h"

namespace holdfast::auth {
namespace {

struct Authority {
  std::vector<pki::Certificate> chain;  // device CA first
  pki::PrivateKey key;
};

absl::StatusOr<Authority> Load(const std::string& certificate_file, const std::string& key_file) {
  ASSIGN_OR_RETURN(std::vector<pki::Certificate> chain, pki::Certificate::ChainFromFile(certificate_file));
  ASSIGN_OR_RETURN(pki::PrivateKey key, pki::PrivateKey::FromFile(key_file));
  if (!chain.front().CheckKey(key).ok()) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not the key of {}; restore the right one", key_file, certificate_file));
  }
  if (!chain.front().Summary().is_ca) {
    return absl::FailedPreconditionError(fmt::format("{} is not the certificate of a CA", certificate_file));
  }
  return Authority{.chain = std::move(chain), .key = std::move(key)};
}

// Whatever the clocks say, it is not earlier than when the CA was made.
absl::Time NotBeforeCa(absl::Time now, const pki::Certificate& ca) {
  return std::max(now, ca.not_before());
}

std::string CaName(const std::string& file) {
  return fmt::format("the device CA certificate {}", file);
}

std::vector<std::string> WithoutCopies(const std::vector<std::string>& names) {
  std::vector<std::string> unique;
  for (const std::string& name : names) {
    const auto same = [&name](const std::string& other) { return iothub::EqualsIgnoreCase(name, other); };
    if (std::none_of(unique.begin(), unique.end(), same)) unique.push_back(name);
  }
  return unique;
}

}  // namespace

CertificateIssuer::CertificateIssuer(Options options, const TrustedClock& clock)
    : options_{.ca_certificate_file = std::move(options.ca_certificate_file),
               .ca_key_file = std::move(options.ca_key_file),
               .trust_bundle_file = std::move(options.trust_bundle_file),
               .names = WithoutCopies(options.names)},
      clock_(clock) {}

absl::Status CertificateIssuer::CheckFiles() const {
  std::error_code ignored;
  if (!std::filesystem::exists(options_.ca_certificate_file, ignored) &&
      !std::filesystem::exists(options_.ca_key_file, ignored)) {
    return absl::NotFoundError("there is no device CA");
  }
  const absl::Status status = Load(options_.ca_certificate_file, options_.ca_key_file).status();
  if (!absl::IsNotFound(status)) return status;
  return absl::FailedPreconditionError(  // one of the two is there
      fmt::format("{}; restore it, or move the other away and run `holdfast certs init`",
                  std::string(status.message())));
}

absl::Status CertificateIssuer::CheckDates() const {
  ASSIGN_OR_RETURN(const Authority ca, Load(options_.ca_certificate_file, options_.ca_key_file));
  const pki::Certificate& certificate = ca.chain.front();
  return certificate.CheckDates(NotBeforeCa(clock_.Now(), certificate), CaName(options_.ca_certificate_file));
}

absl::StatusOr<CertificateIssuer::Issued> CertificateIssuer::Issue(std::string_view csr_pem) const {
  return IssueWith([&](const pki::Certificate& ca, const pki::PrivateKey& ca_key, absl::Time now) {
    return pki::MakeServerCertificateFromCsr(csr_pem, options_.names, ca, ca_key, now);
  });
}

absl::StatusOr<CertificateIssuer::Issued> CertificateIssuer::IssueServer(const pki::PrivateKey& key,
                                                                         const std::vector<std::string>& names,
                                                                         absl::Duration lifetime) const {
  return IssueWith([&](const pki::Certificate& ca, const pki::PrivateKey& ca_key, absl::Time now) {
    return pki::MakeServerCertificate(key, WithoutCopies(names), ca, ca_key, now,
                                      std::min(lifetime, pki::kServerLifetime));
  });
}

absl::StatusOr<CertificateIssuer::Issued> CertificateIssuer::IssueClient(const pki::PrivateKey& key,
                                                                         const std::string& common_name,
                                                                         absl::Duration lifetime) const {
  return IssueWith([&](const pki::Certificate& ca, const pki::PrivateKey& ca_key, absl::Time now) {
    return pki::MakeClientCertificate(key, common_name, ca, ca_key, now, std::min(lifetime, pki::kServerLifetime));
  });
}

absl::StatusOr<CertificateIssuer::Issued> CertificateIssuer::IssueWith(const MakeLeaf& make) const {
  auto ca = Load(options_.ca_certificate_file, options_.ca_key_file);
  if (absl::IsNotFound(ca.status())) {
    return absl::FailedPreconditionError(
        fmt::format("no device CA: {}; run `holdfast certs init`", std::string(ca.status().message())));
  }
  if (!ca.ok()) return absl::FailedPreconditionError(std::string(ca.status().message()));
  const absl::Time now = NotBeforeCa(clock_.Now(), ca->chain.front());
  RETURN_IF_ERROR(ca->chain.front().CheckDates(now, CaName(options_.ca_certificate_file)));
  ASSIGN_OR_RETURN(const pki::Certificate leaf, make(ca->chain.front(), ca->key, now));
  Issued issued{.chain_pem = leaf.ToPem(), .not_after = leaf.not_after(), .renew_after = {}};
  for (const pki::Certificate& certificate : ca->chain) {
    const bool is_root = certificate.IsSignedBy(certificate);  // a client has it already, or it would not help
    if (!is_root) issued.chain_pem += certificate.ToPem();
  }
  issued.renew_after = (issued.not_after - now) * 2 / 3;
  if (!clock_.WallIsBelieved()) issued.renew_after = std::min(issued.renew_after, kRenewWhileClockIsWrong);
  return issued;
}

absl::StatusOr<std::string> CertificateIssuer::TrustBundle() const {
  const auto chain = pki::Certificate::ChainFromFile(options_.trust_bundle_file);
  if (!chain.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("no trust bundle: {}; run `holdfast certs init`, or set [auth] trust_bundle_file",
                    std::string(chain.status().message())));
  }
  std::string pem;
  for (const pki::Certificate& certificate : *chain) pem += certificate.ToPem();
  return pem;
}

absl::StatusOr<absl::Time> CertificateIssuer::CaNotAfter() const {
  ASSIGN_OR_RETURN(const std::vector<pki::Certificate> chain,
                   pki::Certificate::ChainFromFile(options_.ca_certificate_file));
  return chain.front().not_after();
}

}  // namespace holdfast::auth
