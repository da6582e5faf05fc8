// The workload API (IoT Hub contract: module credentials on the edge host): what an unmodified IoT Edge module asks of
// its host to start from its environment. Here without the wire: a request's parts in, a response's parts out.
//
//   GET  /trust-bundle                                   {certificate}
//   POST /modules/{module}/genid/{generation}/sign       {keyId, algo, data}                  → {digest}
//   POST …/encrypt                                       {plaintext, initializationVector}    → {ciphertext}
//   POST …/decrypt                                       {ciphertext, initializationVector}   → {plaintext}
//   POST …/certificate/server                            {commonName, expiration}             → 201 {privateKey,
//   certificate, expiration} POST …/certificate/identity                          {expiration} → 201 likewise
//
// Bytes are base64, dates RFC 3339. Each with ?api-version=, 2018-06-28 or later. Every error is {"message": "…"}:
//
//   400  malformed, or api-version missing        404  no such path, module, generation or key
//   403  another module's, or a disabled one      405  another method
//   500  the gateway lacks something; it says what to do
//   503  identities not loaded yet; Retry-After
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lib/base/clock.h"
#include "services/auth/certificate_issuer.h"
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
  std::string body;              // JSON
  std::string_view endpoint;     // for metrics; of static life: "sign", …, "none" for an unknown path
  std::string_view allow;        // with 405: the method that there is
  bool is_retry_useful = false;  // with 503
};

// Answers for one module at a time: whose socket a request came by. Works without the hub (P4). Thread-safe.
class WorkloadApi {
 public:
  // The device whose modules these are: the gateway's own; "" while it is not known.
  using DeviceId = std::function<std::string()>;

  // The references must outlive it.
  WorkloadApi(DeviceId device_id, std::string hub_hostname, const IdentityCache& cache, const CertificateIssuer& issuer,
              const WorkloadSecret& secret, const Clock& clock);

  // Whatever the request, an answer. `module_id`: who asks.
  WorkloadResponse Answer(std::string_view module_id, const WorkloadRequest& request) const;

 private:
  struct Call;
  WorkloadResponse Route(std::string_view module_id, const WorkloadRequest& request) const;
  absl::StatusOr<Identity> Find(const Call& call) const;

  const DeviceId device_id_;
  const std::string hub_hostname_;
  const IdentityCache& cache_;
  const CertificateIssuer& issuer_;
  const WorkloadSecret& secret_;
  const Clock& clock_;
};

}  // namespace holdfast::auth
