// Who may connect and who may ask (IoT Hub contract: SAS tokens, X.509, on-behalf-of).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/hubsim/registry.h"

struct x509_store_st;

namespace holdfast::hubsim {

// What a client says and shows.
struct Claim {
  std::string device_id;
  std::string module_id;
  std::string auth_chain;  // empty: it speaks for itself
  std::string password;
  std::vector<std::string> certificates;  // DER, leaf first
};

struct Grant {
  // The gateway that speaks for the client; empty if it does so itself.
  std::string actor;
  // When the credential ends, skew included.
  absl::Time until = absl::InfiniteFuture();
};

// Judges credentials by the registry as it is at that moment. Errors: INVALID_ARGUMENT (no credential, or none of the
// documented form), UNAUTHENTICATED (it does not hold, or the identity is unknown), PERMISSION_DENIED (disabled, or not
// in that gateway's scope). Not thread-safe.
class Authenticator {
 public:
  struct Options {
    std::string hostname;
    // Base64; empty: no service API.
    std::string service_key;
    // PEM file with the CAs that device certificates may come from; empty: none.
    std::string device_ca_file;
    absl::Duration clock_skew = absl::Minutes(5);
  };

  // Errors name the file.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Create(Options options, const Registry& registry);
  ~Authenticator();

  absl::StatusOr<Grant> CheckClient(const Claim& claim, absl::Time now) const;

  // The Authorization header of a gateway's request: a token of `device_id`/$edgeHub.
  absl::Status CheckGateway(std::string_view header, std::string_view device_id, absl::Time now) const;
  // The Authorization header of a device's request.
  absl::Status CheckDevice(std::string_view header, std::string_view device_id, std::string_view module_id,
                           absl::Time now) const;
  // The Authorization header of a service: a token with skn for the host, made with the service key.
  absl::Status CheckService(std::string_view header, absl::Time now) const;

  const std::string& hostname() const { return options_.hostname; }

 private:
  Authenticator(Options options, const Registry& registry);
  absl::StatusOr<absl::Time> CheckToken(std::string_view token, std::string_view device_id, std::string_view module_id,
                                        const Authentication& keys, absl::Time now) const;
  absl::Status CheckCertificate(const Claim& claim, const std::string& name, const Authentication& expected,
                                absl::Time now) const;
  absl::StatusOr<absl::Time> CheckCredential(const Claim& claim, std::string_view device_id, std::string_view module_id,
                                             absl::Time now) const;

  const Options options_;
  const Registry& registry_;
  x509_store_st* store_ = nullptr;
};

}  // namespace holdfast::hubsim
