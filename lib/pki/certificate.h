// X.509 certificates as Holdfast makes and reads them. The only code of the project that builds one.
//
// Dates: a gateway may be set up while its clock stands in 1970. No certificate begins after the true time because of
// that: "now" is never taken to be before kFloor, and every certificate begins a day before it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/pki/private_key.h"

struct x509_st;  // OpenSSL's X509

namespace holdfast::pki {

// 2026-11-01T00:00:00Z: this code was not there before. Moved forward with each release.
inline constexpr int64_t kFloorUnixSeconds = 1'793'491'200;
absl::Time Floor();

inline constexpr absl::Duration kBackdate = absl::Hours(24);
inline constexpr absl::Duration kRootCaLifetime = absl::Hours(24 * 365 * 20);
inline constexpr absl::Duration kDeviceCaLifetime = absl::Hours(24 * 365 * 10);
inline constexpr absl::Duration kServerLifetime = absl::Hours(24 * 90);
inline constexpr size_t kNamesMax = 100;

// What a person wants to know of a certificate.
struct CertificateSummary {
  std::string subject;  // "CN=gateway.example"
  std::string issuer;
  std::vector<std::string> names;  // subject alternative names, without their kind: "gateway.example", "192.0.2.1"
  absl::Time not_before;
  absl::Time not_after;
  bool is_ca = false;
  std::string sha1;    // of the DER, lower-case hexadecimal
  std::string sha256;  // likewise
};

// A certificate. Copies share it; immutable, thread-safe.
class Certificate {
 public:
  // The first certificate in a PEM text; INVALID_ARGUMENT if there is none.
  static absl::StatusOr<Certificate> FromPem(std::string_view pem);
  static absl::StatusOr<Certificate> FromDer(std::string_view der);
  // All of them, in order, at least one.
  static absl::StatusOr<std::vector<Certificate>> ChainFromPem(std::string_view pem);
  // ChainFromPem of a file; the error names it.
  static absl::StatusOr<std::vector<Certificate>> ChainFromFile(const std::string& path);

  std::string ToPem() const;
  CertificateSummary Summary() const;
  absl::Time not_before() const;
  absl::Time not_after() const;

  // FAILED_PRECONDITION with a sentence that says what and what to do if `now` is outside the dates. `what` names the
  // certificate in it: "device CA certificate /etc/…/device_ca.pem".
  absl::Status CheckDates(absl::Time now, std::string_view what) const;

  // FAILED_PRECONDITION if the key is not this certificate's.
  absl::Status CheckKey(const PrivateKey& key) const;

  // True if `issuer`'s key signed this one. Dates are not looked at.
  bool IsSignedBy(const Certificate& issuer) const;

  x509_st* get() const { return certificate_.get(); }
  explicit Certificate(std::shared_ptr<x509_st> certificate) : certificate_(std::move(certificate)) {}

 private:
  std::shared_ptr<x509_st> certificate_;
};

// A self-signed root that may sign CAs below it. `common_name`: 1-64 bytes.
absl::StatusOr<Certificate> MakeRootCa(const PrivateKey& key, const std::string& common_name, absl::Time now);

// A CA that signs no further CA; ends no later than its issuer.
absl::StatusOr<Certificate> MakeDeviceCa(const PrivateKey& key, const std::string& common_name,
                                         const Certificate& issuer, const PrivateKey& issuer_key, absl::Time now);

// A TLS server certificate. `names`: 1-kNamesMax host names or IP addresses; the first is the common name too.
// Ends `lifetime` after now, and no later than its issuer.
absl::StatusOr<Certificate> MakeServerCertificate(const PrivateKey& key, const std::vector<std::string>& names,
                                                  const Certificate& issuer, const PrivateKey& issuer_key,
                                                  absl::Time now, absl::Duration lifetime = kServerLifetime);

// A TLS client certificate. `common_name`: 1-64 bytes. Ends as above.
absl::StatusOr<Certificate> MakeClientCertificate(const PrivateKey& key, const std::string& common_name,
                                                  const Certificate& issuer, const PrivateKey& issuer_key,
                                                  absl::Time now, absl::Duration lifetime = kServerLifetime);

// As above for the public key of a PKCS #10 request (PEM) whose own signature holds: P-256, P-384 or RSA of 2,048-4,096
// bit. Nothing else of the request is used. INVALID_ARGUMENT for another key or a request that does not hold.
absl::StatusOr<Certificate> MakeServerCertificateFromCsr(std::string_view csr_pem,
                                                         const std::vector<std::string>& names,
                                                         const Certificate& issuer, const PrivateKey& issuer_key,
                                                         absl::Time now);

// A certificate for whom envelopes are sealed (envelope.h): self-signed, for nothing else, ends `lifetime` after now.
absl::StatusOr<Certificate> MakeRecipientCertificate(const PrivateKey& key, const std::string& common_name,
                                                     absl::Time now, absl::Duration lifetime);

// A PKCS #10 request, PEM.
absl::StatusOr<std::string> MakeCsr(const PrivateKey& key, const std::string& common_name);

}  // namespace holdfast::pki
