#include "services/auth/auth_service.h"

#include <fmt/format.h>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/iothub/auth_chain.h"
#include "lib/rpc/status.h"
#include "services/auth/chain_rules.h"
#include "services/auth/identity_upload.h"
#include "services/auth/identity_watch.h"
#include "services/auth/wanted_watch.h"

namespace holdfast::auth {
namespace {

constexpr size_t kCsrBytesMax = 64 << 10;
constexpr absl::Duration kTokenLifetimeMin = absl::Minutes(1);
constexpr absl::Duration kTokenLifetime = absl::Hours(1);
constexpr absl::Duration kTokenLifetimeMax = absl::Hours(24);

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

void ToProto(absl::Duration d, google::protobuf::Duration* out) {
  out->set_seconds(absl::IDivDuration(d, absl::Seconds(1), &d));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(d)));
}

void ToProto(absl::Time t, google::protobuf::Timestamp* out) {
  const int64_t milliseconds = absl::ToUnixMillis(t);
  out->set_seconds(milliseconds / 1000);
  out->set_nanos(static_cast<int32_t>(milliseconds % 1000 * 1'000'000));
}

absl::Status NotLoaded() {
  return absl::UnavailableError("the identities are not loaded from the store yet");
}

absl::Status CheckRequest(const v1::AuthenticateRequest& request) {
  if (request.device_id().empty() || request.device_id().size() > kIdBytesMax) {
    return absl::InvalidArgumentError(fmt::format("device_id must have 1 to {} bytes", kIdBytesMax));
  }
  if (request.module_id().size() > kIdBytesMax) {
    return absl::InvalidArgumentError(fmt::format("module_id must have at most {} bytes", kIdBytesMax));
  }
  // A '/' would let one pair of ids pass for another.
  if (request.device_id().find('/') != std::string::npos || request.module_id().find('/') != std::string::npos) {
    return absl::InvalidArgumentError("an id holds no '/'");
  }
  // A password that is too long is the client's fault, not the caller's: it is denied as any other that is no token.
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* AuthenticationService::Authenticate(grpc::CallbackServerContext* context,
                                                              const v1::AuthenticateRequest* request,
                                                              v1::AuthenticateResponse* response) {
  if (absl::Status status = CheckRequest(*request); !status.ok()) return Finish(context, status);
  WantedIdentities::Wanted wanted;
  if (IsBlocked(*request)) {
    response->set_decision(v1::AuthenticateResponse::DECISION_DENIED);
    response->set_reason(v1::AuthenticateResponse::REASON_TOO_MANY_FAILURES);
    response->set_detail(fmt::format("{}: too many failures from this address; not looked at for a while",
                                     FullId(request->device_id(), request->module_id())));
    Conclude(*request, *response, wanted.id);
    return Finish(context, absl::OkStatus());
  }
  const absl::Status status = Answer(*request, response, &wanted);
  if (status.ok() && CouldTheHubHelp(*request, *response)) {
    // Made once: a second DefaultReactor() would be another one. Request and response live until it is finished.
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const auto judge_again = [this, reactor, request, response] {
      response->Clear();
      WantedIdentities::Wanted wanted;
      const absl::Status again = Answer(*request, response, &wanted);
      if (again.ok()) Conclude(*request, *response, wanted.id);
      reactor->Finish(rpc::ToGrpc(again));
    };
    if (wanted_.Ask(wanted, judge_again)) return reactor;
    Conclude(*request, *response, wanted.id);
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  if (status.ok()) Conclude(*request, *response, wanted.id);
  return Finish(context, status);
}

bool AuthenticationService::CouldTheHubHelp(const v1::AuthenticateRequest& request,
                                            const v1::AuthenticateResponse& response) {
  using Response = v1::AuthenticateResponse;
  if (response.decision() != Response::DECISION_DENIED) return false;
  switch (response.reason()) {
    case Response::REASON_UNKNOWN_IDENTITY:
      // A name that no hub has is not asked for.
      return IsValidId(request.device_id()) && (request.module_id().empty() || IsValidId(request.module_id()));
    case Response::REASON_IDENTITY_DISABLED:
    case Response::REASON_WRONG_SIGNATURE:
    case Response::REASON_CREDENTIAL_KIND:
    case Response::REASON_WRONG_CERTIFICATE:
    case Response::REASON_WRONG_CHAIN:
      return true;
    default:
      return false;
  }
}

bool AuthenticationService::IsBlocked(const v1::AuthenticateRequest& request) {
  const absl::Duration now = clock_.SinceBoot();
  if (limits_.IsBlocked(FullId(request.device_id(), request.module_id()), request.peer(), now)) return true;
  if (request.auth_chain().empty()) return false;
  const auto chain = iothub::ParseAuthChain(request.auth_chain());
  return chain.ok() && limits_.IsBlocked(chain->ActorIdentity().ClientId(), request.peer(), now);
}

absl::Status AuthenticationService::Answer(const v1::AuthenticateRequest& request, v1::AuthenticateResponse* response,
                                           WantedIdentities::Wanted* wanted) {
  const IdentityCache::View view = cache_.Get();
  if (view.state == IdentityCache::State::kNotLoaded) return NotLoaded();
  if (view.state == IdentityCache::State::kNeverProvisioned) {
    response->set_decision(v1::AuthenticateResponse::DECISION_NOT_READY);
    response->set_detail("this gateway has never been told its identities");
    return absl::OkStatus();
  }
  const Verdict verdict = Judge(request, view.set->identities, wanted);
  response->set_decision(verdict.decision);
  response->set_reason(verdict.reason);
  response->set_detail(verdict.detail);
  if (verdict.decision == v1::AuthenticateResponse::DECISION_GRANTED) {
    if (verdict.valid_for < absl::InfiniteDuration()) ToProto(verdict.valid_for, response->mutable_valid_for());
    response->set_identity_version(verdict.identity_version);
  }
  return absl::OkStatus();
}

Verdict AuthenticationService::Judge(const v1::AuthenticateRequest& request, const IdentityMap& identities,
                                     WantedIdentities::Wanted* wanted) const {
  if (!request.auth_chain().empty()) return JudgeOnBehalf(request, identities, wanted);
  wanted->id = FullId(request.device_id(), request.module_id());
  return authenticator_.Judge(
      {.device_id = request.device_id(),
       .module_id = request.module_id(),
       .password = request.password(),
       .certificate_chain = {request.certificate_chain().begin(), request.certificate_chain().end()}},
      identities, trusted_clock_.Now());
}

Verdict AuthenticationService::JudgeOnBehalf(const v1::AuthenticateRequest& request, const IdentityMap& identities,
                                             WantedIdentities::Wanted* wanted) const {
  const std::string id = wanted->id = FullId(request.device_id(), request.module_id());
  const auto deny = [](std::string detail) {
    return Verdict{.decision = v1::AuthenticateResponse::DECISION_DENIED,
                   .reason = v1::AuthenticateResponse::REASON_WRONG_CHAIN,
                   .detail = std::move(detail)};
  };
  const auto chain = iothub::ParseAuthChain(request.auth_chain());
  if (!chain.ok()) return deny(fmt::format("{}: {}", Printable(id), std::string(chain.status().message())));
  if (chain->client.ClientId() != id) return deny(fmt::format("{}: its auth-chain is another client's", Printable(id)));
  // First of all who speaks: who has no good credential learns nothing of the others.
  const Verdict speaker =
      authenticator_.JudgeActor(chain->actor(), request.password(), identities, trusted_clock_.Now());
  if (speaker.decision != v1::AuthenticateResponse::DECISION_GRANTED) {
    wanted->id = speaker.subject;
    return speaker;
  }
  const auto hub = hub_.Get();
  Verdict verdict = JudgeChain(*chain, identities, hub == nullptr ? "" : hub->device_id, ClientStatus::kEnabled);
  if (verdict.decision == v1::AuthenticateResponse::DECISION_GRANTED) {
    verdict.valid_for = speaker.valid_for;
  } else {
    wanted->id = verdict.subject;
    wanted->gateways = GatewaysAbove(*chain, verdict.subject);
  }
  return verdict;
}

void AuthenticationService::Conclude(const v1::AuthenticateRequest& request, const v1::AuthenticateResponse& response,
                                     const std::string& decided_by) {
  std::string id = FullId(request.device_id(), request.module_id());
  // A gateway whose children are refused must not be kept out for that, but one with a wrong credential must be; it is
  // told by its module's name, which no link of a chain has.
  const bool is_speaker = !request.auth_chain().empty() && decided_by.ends_with(fmt::format("/{}", iothub::kEdgeHub));
  if (is_speaker) id = decided_by;
  if (response.decision() == v1::AuthenticateResponse::DECISION_GRANTED) {
    limits_.Succeeded(id, request.peer(), clock_.SinceBoot());
  } else if (response.decision() == v1::AuthenticateResponse::DECISION_DENIED &&
             response.reason() != v1::AuthenticateResponse::REASON_TOO_MANY_FAILURES) {
    limits_.Failed(id, request.peer(), clock_.SinceBoot());
  }
  metrics_
      .Counter("holdfast_auth_decisions_total", "Answers to Authenticate",
               {{"decision", v1::AuthenticateResponse::Decision_Name(response.decision())},
                {"reason", v1::AuthenticateResponse::Reason_Name(response.reason())}})
      .Increment();
  if (response.decision() == v1::AuthenticateResponse::DECISION_GRANTED) {
    spdlog::debug("client let in id={} peer={}", Printable(id), Printable(request.peer()));
    return;
  }
  const auto left_out = failure_log_.Admit(clock_.SinceBoot());
  if (!left_out) return;
  spdlog::warn("client not let in id={} reason={} detail={} peer={} not_logged_before_this={}", Printable(id),
               v1::AuthenticateResponse::Reason_Name(response.reason()), Printable(response.detail()),
               Printable(request.peer()), *left_out);
}

grpc::ServerUnaryReactor* IdentitiesService::ListIdentities(grpc::CallbackServerContext* context,
                                                            const v1::ListIdentitiesRequest*,
                                                            v1::ListIdentitiesResponse* response) {
  const IdentityCache::View view = cache_.Get();
  if (view.state == IdentityCache::State::kNotLoaded) return Finish(context, NotLoaded());
  if (view.set != nullptr) {
    const auto hub = hub_.Get();
    const ScopeTree tree(view.set->identities, hub == nullptr ? "" : hub->device_id);
    for (const auto& [id, identity] : view.set->identities) {
      v1::Identity* const out = response->add_identities();
      auth::ToProto(identity, out);
      for (std::string& gateway : tree.GatewaysAbove(identity)) out->add_gateways(std::move(gateway));
    }
    ToProto(view.set->about.synced_at, response->mutable_synced_at());
  }
  const OfflineReport report = readiness_.Judge();
  v1::OfflineReadiness* readiness = response->mutable_readiness();
  readiness->set_ready(report.missing.empty());
  readiness->mutable_missing()->Assign(report.missing.begin(), report.missing.end());
  readiness->set_source(report.source);
  if (report.device_ca_not_after) ToProto(*report.device_ca_not_after, readiness->mutable_device_ca_not_after());
  return Finish(context, absl::OkStatus());
}

grpc::ServerWriteReactor<v1::WatchIdentitiesResponse>* IdentitiesService::WatchIdentities(
    grpc::CallbackServerContext*, const v1::WatchIdentitiesRequest*) {
  return IdentityWatch::Start(cache_, own_device_id_, is_stopping_);
}

grpc::ServerUnaryReactor* IdentitiesService::GetSyncRecipient(grpc::CallbackServerContext* context,
                                                              const v1::GetSyncRecipientRequest*,
                                                              v1::GetSyncRecipientResponse* response) {
  const absl::Status status = sync_.CheckHubIsSource();
  if (status.ok()) response->set_certificate_pem(recipient_.Pem());
  return Finish(context, status);
}

grpc::ServerReadReactor<v1::SyncIdentitiesRequest>* IdentitiesService::SyncIdentities(
    grpc::CallbackServerContext*, v1::SyncIdentitiesResponse* response) {
  return IdentityUpload::Start(recipient_, sync_, wanted_, uploads_, response);
}

grpc::ServerWriteReactor<v1::WatchWantedIdentitiesResponse>* IdentitiesService::WatchWantedIdentities(
    grpc::CallbackServerContext*, const v1::WatchWantedIdentitiesRequest*) {
  return WantedWatch::Start(wanted_, sync_.CheckHubIsSource());
}

void IdentitiesService::Stop() {
  is_stopping_ = true;
  wanted_.Stop();
  cache_.Notify();
}

grpc::ServerUnaryReactor* TokensService::SignToken(grpc::CallbackServerContext* context,
                                                   const v1::SignTokenRequest* request,
                                                   v1::SignTokenResponse* response) {
  return Finish(context, Sign(*request, response));
}

absl::Status TokensService::Sign(const v1::SignTokenRequest& request, v1::SignTokenResponse* response) {
  absl::Duration valid_for = kTokenLifetime;
  if (request.has_valid_for()) {
    valid_for = absl::Seconds(request.valid_for().seconds()) + absl::Nanoseconds(request.valid_for().nanos());
    if (valid_for < kTokenLifetimeMin || valid_for > kTokenLifetimeMax) {
      return absl::InvalidArgumentError(fmt::format("valid_for must be from {} to {}",
                                                    absl::FormatDuration(kTokenLifetimeMin),
                                                    absl::FormatDuration(kTokenLifetimeMax)));
    }
  }
  const auto hub = hub_.Get();
  if (hub == nullptr) {
    if (cache_.Get().state == IdentityCache::State::kNotLoaded) return NotLoaded();
    return absl::FailedPreconditionError(
        "this gateway has no identity of its own at a hub; set [auth] hub_connection_string_file");
  }
  const absl::Time expiry = absl::FromUnixSeconds(absl::ToUnixSeconds(trusted_clock_.Now() + valid_for));
  response->set_token(SignHubToken(*hub, expiry));
  ToProto(expiry, response->mutable_expires_at());
  response->set_device_id(hub->device_id);
  response->set_module_id(hub->module_id);
  response->set_hub_hostname(hub->hub_hostname);
  response->set_gateway_hostname(hub->gateway_hostname);
  return absl::OkStatus();
}

namespace {

// Finishes the call when the keys are known.
IdentitySync::OnKeys AnswerKeys(grpc::ServerUnaryReactor* reactor, v1::SealingKeys* response) {
  return [reactor, response](const absl::StatusOr<SealingKeysStatus>& keys) {
    if (keys.ok()) {
      response->mutable_key_ids()->Assign(keys->key_ids.begin(), keys->key_ids.end());
      response->set_records_current(keys->current);
      response->set_records_older(keys->older);
      response->set_records_unreadable(keys->unreadable);
      response->set_source(keys->has_tpm ? v1::SealingKeys::SOURCE_TPM : v1::SealingKeys::SOURCE_FILE);
      response->set_file(keys->file);
    }
    reactor->Finish(rpc::ToGrpc(keys.status()));
  };
}

}  // namespace

grpc::ServerUnaryReactor* KeysService::RotateSealingKey(grpc::CallbackServerContext* context,
                                                        const v1::RotateSealingKeyRequest*, v1::SealingKeys* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  sync_.RotateSealingKey(AnswerKeys(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* KeysService::GetSealingKeys(grpc::CallbackServerContext* context,
                                                      const v1::GetSealingKeysRequest*, v1::SealingKeys* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  sync_.GetSealingKeys(AnswerKeys(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* CertificatesService::IssueServerCertificate(grpc::CallbackServerContext* context,
                                                                      const v1::IssueServerCertificateRequest* request,
                                                                      v1::IssueServerCertificateResponse* response) {
  const absl::Status status = Issue(request->certificate_signing_request_pem(), response);
  if (!status.ok()) spdlog::warn("server certificate not issued error={}", Text(status));
  return Finish(context, status);
}

absl::Status CertificatesService::Issue(const std::string& csr_pem, v1::IssueServerCertificateResponse* response) {
  if (csr_pem.empty() || csr_pem.size() > kCsrBytesMax) {
    return absl::InvalidArgumentError(fmt::format("the request must have 1 to {} bytes", kCsrBytesMax));
  }
  ASSIGN_OR_RETURN(const CertificateIssuer::Issued issued, issuer_.Issue(csr_pem));
  response->set_certificate_chain_pem(issued.chain_pem);
  ToProto(issued.not_after, response->mutable_not_after());
  ToProto(issued.renew_after, response->mutable_renew_after());
  metrics_.Counter("holdfast_auth_certificates_issued_total", "Server certificates issued").Increment();
  metrics_
      .Gauge("holdfast_auth_certificate_expiry_timestamp_seconds", "End of a certificate, seconds since 1970",
             {{"certificate", "server"}})
      .Set(static_cast<double>(absl::ToUnixSeconds(issued.not_after)));
  spdlog::info("server certificate issued not_after={}",
               absl::FormatTime(absl::RFC3339_sec, issued.not_after, absl::UTCTimeZone()));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* CertificatesService::GetTrustBundle(grpc::CallbackServerContext* context,
                                                              const v1::GetTrustBundleRequest*,
                                                              v1::GetTrustBundleResponse* response) {
  auto pem = issuer_.TrustBundle();
  if (pem.ok()) response->set_certificates_pem(*std::move(pem));
  return Finish(context, pem.status());
}

}  // namespace holdfast::auth
