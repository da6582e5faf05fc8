#pragma once

#include <atomic>
#include <string>

#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/pki/recipient.h"
#include "services/auth/authenticator.h"
#include "services/auth/certificate_issuer.h"
#include "services/auth/failure_limits.h"
#include "services/auth/failure_log.h"
#include "services/auth/hub_credential.h"
#include "services/auth/identity_cache.h"
#include "services/auth/identity_sync.h"
#include "services/auth/identity_watch.h"
#include "services/auth/offline_readiness.h"
#include "services/auth/trusted_clock.h"
#include "services/auth/wanted_identities.h"

namespace holdfast::auth {

// The gRPC services of auth: check arguments, ask the classes behind them, translate. References outlive them.
// Thread-safe.

class AuthenticationService final : public v1::Authentication::CallbackService {
 public:
  AuthenticationService(const Authenticator& authenticator, const IdentityCache& cache, const HubIdentity& hub,
                        WantedIdentities& wanted, FailureLimits& limits, const TrustedClock& trusted_clock,
                        const Clock& clock, Metrics& metrics)
      : authenticator_(authenticator),
        cache_(cache),
        hub_(hub),
        wanted_(wanted),
        limits_(limits),
        trusted_clock_(trusted_clock),
        clock_(clock),
        metrics_(metrics) {}

  // Answers at once, or when the hub was asked for the identity, without holding a thread meanwhile.
  grpc::ServerUnaryReactor* Authenticate(grpc::CallbackServerContext* context, const v1::AuthenticateRequest* request,
                                         v1::AuthenticateResponse* response) override;

 private:
  // True if the hub, asked now, could turn this answer into another one.
  static bool CouldTheHubHelp(const v1::AuthenticateRequest& request, const v1::AuthenticateResponse& response);
  bool IsBlocked(const v1::AuthenticateRequest& request);
  // `wanted`: whom the hub would have to be asked for.
  absl::Status Answer(const v1::AuthenticateRequest& request, v1::AuthenticateResponse* response,
                      WantedIdentities::Wanted* wanted);
  Verdict Judge(const v1::AuthenticateRequest& request, const IdentityMap& identities,
                WantedIdentities::Wanted* wanted) const;
  Verdict JudgeOnBehalf(const v1::AuthenticateRequest& request, const IdentityMap& identities,
                        WantedIdentities::Wanted* wanted) const;
  // `decided_by`: the id of whose record decided.
  void Conclude(const v1::AuthenticateRequest& request, const v1::AuthenticateResponse& response,
                const std::string& decided_by);

  const Authenticator& authenticator_;
  const IdentityCache& cache_;
  const HubIdentity& hub_;
  WantedIdentities& wanted_;
  FailureLimits& limits_;
  const TrustedClock& trusted_clock_;
  const Clock& clock_;
  Metrics& metrics_;
  FailureLog failure_log_;
};

class IdentitiesService final : public v1::Identities::CallbackService {
 public:
  IdentitiesService(IdentityCache& cache, IdentitySync& sync, const HubIdentity& hub, const pki::Recipient& recipient,
                    WantedIdentities& wanted, const OfflineReadiness& readiness, OwnDeviceId own_device_id)
      : cache_(cache),
        sync_(sync),
        hub_(hub),
        recipient_(recipient),
        wanted_(wanted),
        readiness_(readiness),
        own_device_id_(std::move(own_device_id)) {}

  grpc::ServerUnaryReactor* ListIdentities(grpc::CallbackServerContext* context,
                                           const v1::ListIdentitiesRequest* request,
                                           v1::ListIdentitiesResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchIdentitiesResponse>* WatchIdentities(
      grpc::CallbackServerContext* context, const v1::WatchIdentitiesRequest* request) override;

  grpc::ServerUnaryReactor* GetSyncRecipient(grpc::CallbackServerContext* context,
                                             const v1::GetSyncRecipientRequest* request,
                                             v1::GetSyncRecipientResponse* response) override;
  grpc::ServerReadReactor<v1::SyncIdentitiesRequest>* SyncIdentities(grpc::CallbackServerContext* context,
                                                                     v1::SyncIdentitiesResponse* response) override;

  grpc::ServerWriteReactor<v1::WatchWantedIdentitiesResponse>* WatchWantedIdentities(
      grpc::CallbackServerContext* context, const v1::WatchWantedIdentitiesRequest* request) override;

  // Ends every watch with UNAVAILABLE, so that the server can stop.
  void Stop();

 private:
  IdentityCache& cache_;
  IdentitySync& sync_;
  const HubIdentity& hub_;
  const pki::Recipient& recipient_;
  WantedIdentities& wanted_;
  const OfflineReadiness& readiness_;
  const OwnDeviceId own_device_id_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> uploads_ = 0;
};

class TokensService final : public v1::Tokens::CallbackService {
 public:
  TokensService(const IdentityCache& cache, const HubIdentity& hub, const TrustedClock& trusted_clock)
      : cache_(cache), hub_(hub), trusted_clock_(trusted_clock) {}

  grpc::ServerUnaryReactor* SignToken(grpc::CallbackServerContext* context, const v1::SignTokenRequest* request,
                                      v1::SignTokenResponse* response) override;

 private:
  absl::Status Sign(const v1::SignTokenRequest& request, v1::SignTokenResponse* response);

  const IdentityCache& cache_;
  const HubIdentity& hub_;
  const TrustedClock& trusted_clock_;
};

class KeysService final : public v1::Keys::CallbackService {
 public:
  explicit KeysService(IdentitySync& sync) : sync_(sync) {}

  grpc::ServerUnaryReactor* RotateSealingKey(grpc::CallbackServerContext* context,
                                             const v1::RotateSealingKeyRequest* request,
                                             v1::SealingKeys* response) override;
  grpc::ServerUnaryReactor* GetSealingKeys(grpc::CallbackServerContext* context,
                                           const v1::GetSealingKeysRequest* request,
                                           v1::SealingKeys* response) override;

 private:
  IdentitySync& sync_;
};

class CertificatesService final : public v1::Certificates::CallbackService {
 public:
  CertificatesService(const CertificateIssuer& issuer, Metrics& metrics) : issuer_(issuer), metrics_(metrics) {}

  grpc::ServerUnaryReactor* IssueServerCertificate(grpc::CallbackServerContext* context,
                                                   const v1::IssueServerCertificateRequest* request,
                                                   v1::IssueServerCertificateResponse* response) override;
  grpc::ServerUnaryReactor* GetTrustBundle(grpc::CallbackServerContext* context,
                                           const v1::GetTrustBundleRequest* request,
                                           v1::GetTrustBundleResponse* response) override;

 private:
  absl::Status Issue(const std::string& csr_pem, v1::IssueServerCertificateResponse* response);

  const CertificateIssuer& issuer_;
  Metrics& metrics_;
};

}  // namespace holdfast::auth
