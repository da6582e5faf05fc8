#include "services/router/scope_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/iothub/auth_chain.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

using auth::v1::GetScopePageRequest;
using auth::v1::GetScopePageResponse;
using nlohmann::json;

constexpr int64_t kPageSizeMax = 1000;
// Auth forgets failures after a minute.
constexpr absl::Duration kAfterFailures = absl::Minutes(1);
constexpr absl::Duration kAfterUnavailable = absl::Seconds(5);

// Null and absent are the same: an empty text.
absl::StatusOr<std::string> TextAt(const json& body, const char* name) {
  const auto at = body.find(name);
  if (at == body.end() || at->is_null()) return "";
  if (!at->is_string()) return absl::InvalidArgumentError(fmt::format("{} must be text", name));
  return at->get<std::string>();
}

absl::Status ReadBody(const json& body, ScopeQuestion question, GetScopePageRequest* request) {
  ASSIGN_OR_RETURN(*request->mutable_auth_chain(), TextAt(body, "authChain"));
  if (request->auth_chain().empty()) return absl::InvalidArgumentError("authChain is missing");
  if (question == ScopeQuestion::kOne) {
    auth::v1::IdentityName* const name = request->mutable_identity();
    ASSIGN_OR_RETURN(*name->mutable_device_id(), TextAt(body, "targetDeviceId"));
    ASSIGN_OR_RETURN(*name->mutable_module_id(), TextAt(body, "targetModuleId"));
    return absl::OkStatus();
  }
  GetScopePageRequest::Children* const children = request->mutable_children();
  ASSIGN_OR_RETURN(*children->mutable_continuation(), TextAt(body, "continuationLink"));
  if (const auto size = body.find("pageSize"); size != body.end() && !size->is_null()) {
    if (!size->is_number_integer() || *size < 1) {
      return absl::InvalidArgumentError("pageSize must be a number, 1 or more");
    }
    children->set_page_size(static_cast<uint32_t>(std::min<int64_t>(size->get<int64_t>(), kPageSizeMax)));
  }
  return absl::OkStatus();
}

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

absl::StatusOr<GetScopePageRequest> ReadScopeRequest(ScopeQuestion question, std::string_view gateway,
                                                     std::string_view module, std::string_view body) {
  // IoT Hub contract: only $edgeHub acts.
  if (module != iothub::kEdgeHub) return absl::UnauthenticatedError("only $edgeHub may ask");
  if (!iothub::IsId(gateway)) return absl::InvalidArgumentError("the path names no gateway");
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  GetScopePageRequest request;
  request.set_gateway_device_id(std::string(gateway));
  RETURN_IF_ERROR(ReadBody(parsed, question, &request));
  return request;
}

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
