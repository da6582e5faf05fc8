#include "services/auth/child_scopes_service.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/pki/certificate.h"
#include "lib/pki/envelope.h"
#include "lib/rpc/status.h"
#include "services/auth/chain_rules.h"
#include "services/auth/child_scope.h"
#include "services/auth/scope_page.h"

namespace holdfast::auth {
namespace {

using Request = v1::GetScopePageRequest;
using Response = v1::GetScopePageResponse;
using Denial = v1::AuthenticateResponse;

absl::Status Refuse(Response::Result result, std::string detail, Response* response) {
  response->set_result(result);
  response->set_detail(std::move(detail));
  return absl::OkStatus();
}

absl::Status CheckRequest(const Request& request) {
  if (!iothub::IsId(request.gateway_device_id())) {
    return absl::InvalidArgumentError(fmt::format("gateway_device_id must be an id of 1 to {} bytes", kIdBytesMax));
  }
  if (request.what_case() == Request::WHAT_NOT_SET) {
    return absl::InvalidArgumentError("either children or identity must be set");
  }
  return absl::OkStatus();
}

std::string SpeakerId(const Request& request) {
  return FullId(request.gateway_device_id(), iothub::kEdgeHub);
}

Response::Result ResultOf(Denial::Reason reason) {
  return reason == Denial::REASON_UNKNOWN_IDENTITY ? Response::RESULT_UNKNOWN : Response::RESULT_NOT_IN_SCOPE;
}

absl::Status SealPage(const Request& request, const std::vector<const Identity*>& identities,
                      std::string_view continuation, Response* response) {
  ASSIGN_OR_RETURN(const pki::Certificate recipient, pki::Certificate::FromPem(request.recipient_certificate_pem()));
  std::string page = WriteScopePage(identities, continuation);
  const absl::Cleanup wipe = [&page] { OPENSSL_cleanse(page.data(), page.size()); };
  ASSIGN_OR_RETURN(*response->mutable_sealed_page(), pki::SealEnvelope(recipient, page));
  response->set_result(Response::RESULT_PAGE);
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* ChildScopesService::GetScopePage(grpc::CallbackServerContext* context, const Request* request,
                                                           Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  iothub::AuthChain chain;
  std::string wanted;
  const absl::Status status = Answer(*request, response, &chain, &wanted);
  if (status.ok() && !wanted.empty()) {
    // Request and response live until the reactor is finished.
    const auto judge_again = [this, reactor, request, response] {
      response->Clear();
      iothub::AuthChain chain;
      std::string wanted;
      const absl::Status again = Answer(*request, response, &chain, &wanted);
      Count(*request, *response);
      reactor->Finish(rpc::ToGrpc(again));
    };
    if (parts_.wanted.Ask({.id = wanted, .gateways = GatewaysAbove(chain, wanted)}, judge_again)) return reactor;
  }
  Count(*request, *response);
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

absl::Status ChildScopesService::Answer(const Request& request, Response* response, iothub::AuthChain* chain,
                                        std::string* wanted) {
  RETURN_IF_ERROR(CheckRequest(request));
  const std::string speaker = SpeakerId(request);
  if (parts_.limits.IsBlocked(speaker, request.peer(), parts_.clock.SinceBoot())) {
    return Refuse(Response::RESULT_TOO_MANY_FAILURES,
                  fmt::format("{}: too many failures from this address; not looked at for a while", speaker), response);
  }
  const IdentityCache::View view = parts_.cache.Get();
  if (view.state == IdentityCache::State::kNotLoaded) {
    return absl::UnavailableError("the identities are not loaded from the store yet");
  }
  if (view.state == IdentityCache::State::kNeverProvisioned) {
    return Refuse(Response::RESULT_NOT_READY, "this gateway has never been told its identities", response);
  }
  const IdentityMap& identities = view.set->identities;
  const Verdict verdict = parts_.authenticator.JudgeActor(request.gateway_device_id(), request.password(), identities,
                                                          parts_.trusted_clock.Now());
  if (verdict.decision != Denial::DECISION_GRANTED) {
    parts_.limits.Failed(speaker, request.peer(), parts_.clock.SinceBoot());
    return Refuse(Response::RESULT_UNAUTHENTICATED, verdict.detail, response);
  }
  parts_.limits.Succeeded(speaker, request.peer(), parts_.clock.SinceBoot());
  auto parsed = iothub::ParseAuthChain(request.auth_chain());
  if (!parsed.ok()) return Refuse(Response::RESULT_MALFORMED, std::string(parsed.status().message()), response);
  *chain = *std::move(parsed);
  if (chain->actor() != request.gateway_device_id()) {
    return Refuse(Response::RESULT_NOT_IN_SCOPE, "the authChain does not end with the gateway that asks", response);
  }
  return Judged(request, *chain, identities, response, wanted);
}

absl::Status ChildScopesService::Judged(const Request& request, const iothub::AuthChain& chain,
                                        const IdentityMap& identities, Response* response, std::string* wanted) {
  const auto hub = parts_.hub.Get();
  // Whether the target is enabled is part of the answer, not of the question.
  const Verdict verdict = JudgeChain(chain, identities, hub == nullptr ? "" : hub->device_id, ClientStatus::kAny);
  if (verdict.decision != Denial::DECISION_GRANTED) {
    if (verdict.reason == Denial::REASON_UNKNOWN_IDENTITY) *wanted = verdict.subject;
    return Refuse(ResultOf(verdict.reason), verdict.detail, response);
  }
  const Identity& device = identities.at(chain.client.device_id);
  if (request.has_children()) {
    if (!chain.client.module_id.empty() || !device.is_gateway) {
      return Refuse(Response::RESULT_MALFORMED, fmt::format("{} is no gateway", chain.client.ClientId()), response);
    }
    const uint32_t asked = request.children().page_size();
    const uint32_t size = asked == 0 ? kScopePageDevicesDefault : std::min(asked, kScopePageDevicesMax);
    const auto selection = SelectChildren(identities, device, size, request.children().continuation());
    if (absl::IsInvalidArgument(selection.status())) {
      return Refuse(Response::RESULT_MALFORMED, std::string(selection.status().message()), response);
    }
    RETURN_IF_ERROR(selection.status());
    return SealPage(request, selection->identities, selection->continuation, response);
  }
  const v1::IdentityName& name = request.identity();
  if (name.device_id() != device.device_id) {
    return Refuse(Response::RESULT_MALFORMED, "the authChain does not begin with the target", response);
  }
  std::vector<const Identity*> found{&device};
  // The chain may leave a module's own part out.
  if (!name.module_id().empty()) {
    const std::string id = FullId(name.device_id(), name.module_id());
    const auto module = identities.find(id);
    if (module == identities.end()) {
      *wanted = IsValidId(name.module_id()) ? id : "";
      return Refuse(Response::RESULT_UNKNOWN, fmt::format("{} is not an identity of this gateway", Printable(id)),
                    response);
    }
    found.push_back(&module->second);
  }
  return SealPage(request, found, "", response);
}

void ChildScopesService::Count(const Request& request, const Response& response) {
  parts_.metrics
      .Counter("holdfast_auth_child_scopes_total", "Answers to child gateways that asked for identities below them",
               {{"result", Response::Result_Name(response.result())}})
      .Increment();
  if (response.result() == Response::RESULT_PAGE) return;
  const auto left_out = failure_log_.Admit(parts_.clock.SinceBoot());
  if (!left_out) return;
  spdlog::warn(
      "a child gateway did not get what it asked for gateway={} result={} detail={} peer={} not_logged_before_this={}",
      Printable(request.gateway_device_id()), Response::Result_Name(response.result()), Printable(response.detail()),
      Printable(request.peer()), *left_out);
}

}  // namespace holdfast::auth
