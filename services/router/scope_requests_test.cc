#include "services/router/scope_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/synchronization/notification.h"
#include "lib/pki/envelope.h"
#include "lib/rpc/server.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::router {
namespace {

using auth::v1::GetScopePageRequest;
using auth::v1::GetScopePageResponse;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kList[] = "/devices/child/modules/$edgeHub/devicesAndModulesInTargetDeviceScope";
constexpr char kOne[] = "/devices/child/modules/$edgeHub/getDeviceAndModuleOnBehalfOf";

// Does as it is told, and seals for who asks.
class FakeScopes final : public auth::v1::ChildScopes::Service {
 public:
  grpc::Status GetScopePage(grpc::ServerContext*, const GetScopePageRequest* request,
                            GetScopePageResponse* response) override {
    asked = *request;
    ++count;
    if (!status.ok()) return status;
    response->set_result(result);
    response->set_detail("because of its \"chain\"");
    if (result == GetScopePageResponse::RESULT_PAGE) {
      const auto recipient = pki::Certificate::FromPem(request->recipient_certificate_pem());
      response->set_sealed_page(*pki::SealEnvelope(*recipient, "the page"));
    }
    return grpc::Status::OK;
  }
  GetScopePageRequest asked;
  int count = 0;
  grpc::Status status;
  GetScopePageResponse::Result result = GetScopePageResponse::RESULT_PAGE;
};

class ScopeRequestsTest : public ::testing::Test {
 protected:
  ScopeRequestsTest() {
    requests_->AddTo(&front_);
    EXPECT_TRUE(channels_.WaitUntilReady(absl::Seconds(10)).ok());
  }
  HttpResponse Ask(const std::string& target = kList, const std::string& authorization = "token",
                   const std::string& body = R"({"authChain":"leaf;child","targetDeviceId":"leaf"})") {
    HttpRequest request{.method = "POST", .body = body, .peer = "192.0.2.1:5", .authorization = authorization};
    int status = 0;
    const HttpsFront::Handler* const handler = front_.Find("POST", target, &request.names, &status);
    if (handler == nullptr) return HttpError(status, "no endpoint");
    absl::Notification done;
    HttpResponse answer;
    (*handler)(std::move(request), [&](HttpResponse response) {
      answer = std::move(response);
      done.Notify();
    });
    EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
    return answer;
  }

  TempDir dir_;
  FakeScopes scopes_;
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "auth"}, {&scopes_});
  rpc::Channels channels_{dir_.path(), "auth"};
  AuthClient auth_{&channels_, absl::Seconds(10)};
  std::unique_ptr<ScopeRequests> requests_ = *ScopeRequests::Create(&auth_, absl::Now());
  HttpsFront front_;
};

TEST_F(ScopeRequestsTest, PageOfAuthIsOpenedForTheCaller) {
  const auto answer = Ask();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.is_secret) << "so that it is wiped";
  EXPECT_EQ(answer.body, "the page");
  EXPECT_EQ(scopes_.asked.password(), "token");
  EXPECT_EQ(scopes_.asked.peer(), "192.0.2.1:5");
}

// IoT Hub contract: another module is refused, and that is all that happens (the model goes on).
TEST_F(ScopeRequestsTest, AnotherModuleIsRefusedAndAuthIsNotAsked) {
  for (const char* module : {"$edgeAgent", "filter", "$edgehub"}) {
    const auto answer = Ask("/devices/child/modules/" + std::string(module) + "/getDeviceAndModuleOnBehalfOf");
    EXPECT_EQ(answer.status, 401) << module;
    EXPECT_THAT(answer.body, HasSubstr("message"));
  }
  EXPECT_EQ(Ask(kList, "").status, 401) << "no token";
  EXPECT_EQ(Ask(kList, "token", std::string(kScopeBodyBytesMax + 1, ' ')).status, 413);
  EXPECT_EQ(scopes_.count, 0);
}

TEST_F(ScopeRequestsTest, RefusalsHaveTheStatusOfTheContract) {
  const std::map<GetScopePageResponse::Result, int> statuses = {
      {GetScopePageResponse::RESULT_UNAUTHENTICATED, 401}, {GetScopePageResponse::RESULT_NOT_IN_SCOPE, 403},
      {GetScopePageResponse::RESULT_UNKNOWN, 404},         {GetScopePageResponse::RESULT_MALFORMED, 400},
      {GetScopePageResponse::RESULT_NOT_READY, 503},       {GetScopePageResponse::RESULT_TOO_MANY_FAILURES, 429}};
  for (const auto& [result, status] : statuses) {
    scopes_.result = result;
    const auto answer = Ask(kOne);
    EXPECT_EQ(answer.status, status) << GetScopePageResponse::Result_Name(result);
    EXPECT_EQ(answer.retry_after > absl::ZeroDuration(), status == 429 || status == 503);
    EXPECT_FALSE(answer.is_secret);
    EXPECT_EQ(answer.body.front(), '{');
  }
  scopes_.result = GetScopePageResponse::RESULT_UNAUTHENTICATED;
  EXPECT_THAT(Ask().body, Not(HasSubstr("because"))) << "strangers are told nothing";
}

// P5: an auth that can't answer is no refusal.
TEST_F(ScopeRequestsTest, WithoutAuthTheCallerIsToldToComeAgain) {
  scopes_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "not loaded");
  EXPECT_EQ(Ask().status, 503);
  scopes_.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too much");
  EXPECT_EQ(Ask().status, 500);
  auth_.Stop();
  EXPECT_EQ(Ask().status, 503);
}

}  // namespace
}  // namespace holdfast::router
