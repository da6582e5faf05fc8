#include "services/router/scope_requests.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

using auth::v1::GetScopePageResponse;

// Auth forgets failures after a minute.
constexpr absl::Duration kAfterFailures = absl::Minutes(1);
constexpr absl::Duration kAfterUnavailable = absl::Seconds(5);

HttpResponse ErrorLater(int status, std::string_view message, absl::Duration retry_after) {
  HttpResponse response = HttpError(status, message);
  response.retry_after = retry_after;
  return response;
}

HttpResponse ErrorOf(const absl::Status& status) {
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return HttpError(400, message);
    case absl::StatusCode::kUnauthenticated:
      return HttpError(401, message);
    default:
      return rpc::IsTransient(status) ? ErrorLater(503, "the gateway can't answer now", kAfterUnavailable)
                                      : HttpError(500, "the gateway could not answer");
  }
}

HttpResponse Open(const pki::Recipient& recipient, const GetScopePageResponse& response) {
  switch (response.result()) {
    case GetScopePageResponse::RESULT_PAGE: {
      auto page = recipient.Open(response.sealed_page());
      if (page.ok()) return {.body = *std::move(page), .is_secret = true};
      spdlog::error("a page of auth's does not open reason=\"{}\"", Text(page.status()));
      return HttpError(500, "the gateway can't read its own answer");
    }
    case GetScopePageResponse::RESULT_UNAUTHENTICATED:
      return HttpError(401, "the credential is not accepted");
    case GetScopePageResponse::RESULT_NOT_IN_SCOPE:
      return HttpError(403, response.detail());
    case GetScopePageResponse::RESULT_UNKNOWN:
      return HttpError(404, response.detail());
    case GetScopePageResponse::RESULT_MALFORMED:
      return HttpError(400, response.detail());
    case GetScopePageResponse::RESULT_NOT_READY:
      return ErrorLater(503, response.detail(), kAfterUnavailable);
    case GetScopePageResponse::RESULT_TOO_MANY_FAILURES:
      return ErrorLater(429, "too many failures", kAfterFailures);
    default:
      return HttpError(500, "the gateway does not understand its own answer");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ScopeRequests>> ScopeRequests::Create(AuthClient* auth, absl::Time now) {
  ASSIGN_OR_RETURN(pki::Recipient recipient, pki::Recipient::Create("holdfast router scope recipient", now));
  return std::unique_ptr<ScopeRequests>(new ScopeRequests(auth, std::move(recipient)));
}

void ScopeRequests::AddTo(HttpsFront* front) const {
  const auto add = [&](std::string_view what, ScopeQuestion question) {
    front->Add("POST", fmt::format("/devices/{{}}/modules/{{}}/{}", what),
               [this, question](HttpRequest request, HttpsFront::Respond respond) {
                 Handle(question, std::move(request), std::move(respond));
               });
  };
  add("devicesAndModulesInTargetDeviceScope", ScopeQuestion::kList);
  add("getDeviceAndModuleOnBehalfOf", ScopeQuestion::kOne);
}

void ScopeRequests::Handle(ScopeQuestion question, HttpRequest request, HttpsFront::Respond respond) const {
  if (request.body.size() > kScopeBodyBytesMax) return respond(HttpError(413, "the body is too long"));
  auto asked = ReadScopeRequest(question, request.names[0], request.names[1], request.body);
  if (!asked.ok()) return respond(ErrorOf(asked.status()));
  if (request.authorization.empty()) return respond(HttpError(401, "the header Authorization is missing"));
  asked->set_password(std::move(request.authorization));
  asked->set_peer(std::move(request.peer));
  asked->set_recipient_certificate_pem(recipient_->Pem());
  auth_->GetScopePage(*std::move(asked), [recipient = recipient_, respond = std::move(respond)](
                                             const absl::StatusOr<GetScopePageResponse>& response) {
    if (response.ok()) return respond(Open(*recipient, *response));
    spdlog::warn("auth gave no answer for a child gateway reason=\"{}\"", Text(response.status()));
    respond(response.status().code() == absl::StatusCode::kInvalidArgument
                ? HttpError(500, "the gateway does not understand its own question")
                : ErrorOf(response.status()));
  });
}

}  // namespace holdfast::router
