// The workload API (IoT Hub contract: module credentials on the edge host): what an unmodified IoT Edge module asks of
// its host to start from its environment. Here without the wire: a request's parts in, a response's parts out.
//
//   GET  /trust-bundle                                200 {certificate}
//   POST /modules/{module}/genid/{generation}/sign    {keyId, algo, data}: 200 {digest}
//   POST …/encrypt                                    {plaintext, initializationVector}: 200 {ciphertext}
//   POST …/decrypt                                    {ciphertext, initializationVector}: 200 {plaintext}
//   POST …/certificate/server                         {commonName, expiration}: 201 {privateKey: {type, bytes},
//                                                     certificate, expiration}
//   POST …/certificate/identity                       {expiration}: likewise
//
// Bytes are base64, keys and certificates PEM, dates RFC 3339. Each path takes ?api-version=, 2018-06-28 or later. A
// certificate ends when the module asked for, but no later than pki::kServerLifetime from now. Every error is
// {"message": "…"}:
//
//   400  malformed, or api-version missing        405  another method
//   403  another module's, or a disabled one      500  the gateway lacks something; it says what to do
//   404  no such path, module, generation or key  503  identities not loaded yet; Retry-After
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "services/auth/certificate_issuer.h"
#include "services/auth/failure_log.h"
#include "services/auth/identity_cache.h"
#include "services/auth/workload_secret.h"

namespace holdfast::auth {

struct WorkloadRequest {
  std::string_view method;  // "POST"
  std::string_view target;  // "/trust-bundle?api-version=2019-01-30"
  std::string_view body;
};

struct WorkloadResponse {
  unsigned status = 200;
  std::string body;             // JSON
  std::string_view endpoint;    // of static life, for metrics: "sign"; "none" for an unknown path
  std::string_view allow = {};  // with 405: the method that there is
};

// Answers for one module at a time: whose socket a request came by. Works without the hub (P4). Thread-safe.
class WorkloadApi {
 public:
  // The device whose modules these are: the gateway's own; "" while it is not known.
  using DeviceId = std::function<std::string()>;

  // The references must outlive it.
  WorkloadApi(DeviceId device_id, const IdentityCache& cache, const CertificateIssuer& issuer,
              const WorkloadSecret& secret, const Clock& clock);

  // Whatever the request, an answer. `module_id`: who asks.
  WorkloadResponse Answer(std::string_view module_id, const WorkloadRequest& request) const;

  // The answer that says an error.
  static WorkloadResponse Refuse(const absl::Status& status);

 private:
  struct Call;
  struct Endpoint;
  using Answered = absl::StatusOr<nlohmann::json>;

  Answered Run(std::string_view module_id, const WorkloadRequest& request, const Endpoint** endpoint) const;
  absl::Status RefuseForeign(std::string_view module_id, std::string_view other) const;
  absl::Status Prepare(Call* call) const;
  Answered Sign(const Call& call) const;
  Answered Encrypt(const Call& call) const;
  Answered Decrypt(const Call& call) const;
  Answered ServerCertificate(const Call& call) const;
  Answered IdentityCertificate(const Call& call) const;
  Answered TrustBundle(const Call& call) const;
  absl::StatusOr<absl::Duration> Lifetime(const Call& call) const;

  static const Endpoint kEndpoints[];

  const DeviceId device_id_;
  const IdentityCache& cache_;
  const CertificateIssuer& issuer_;
  const WorkloadSecret& secret_;
  const Clock& clock_;
  mutable FailureLog failure_log_;
};

}  // namespace holdfast::auth
