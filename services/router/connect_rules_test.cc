#include "services/router/connect_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::router {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

mqtt::Connect Good() {
  return {.client_id = "dev1",
          .has_user_name = true,
          .has_password = true,
          .user_name = "hub/dev1/?api-version=2021-04-12",
          .password = "SharedAccessSignature sr=secret"};
}

TEST(ConnectRulesTest, DeviceAndModule) {
  EXPECT_EQ(CheckConnect(Good()).result, ConnectResult::kAccepted);
  mqtt::Connect module = Good();
  module.client_id = "dev1/mod1";
  module.user_name = "hub/dev1/mod1/?api-version=2021-04-12";
  const ConnectCheck check = CheckConnect(module);
  EXPECT_EQ(check.result, ConnectResult::kAccepted);
  EXPECT_EQ(check.user.identity, (iothub::Identity{"dev1", "mod1"}));
}

TEST(ConnectRulesTest, OnBehalfOfAClient) {
  mqtt::Connect c = Good();
  c.user_name = "hub/dev1/?api-version=2021-04-12&auth-chain=dev1%3Bchild%3Btop";
  const ConnectCheck check = CheckConnect(c);
  EXPECT_EQ(check.result, ConnectResult::kAccepted) << check.reason;
  EXPECT_EQ(check.user.auth_chain, "dev1;child;top");
  EXPECT_EQ(check.actor, "top");
  EXPECT_EQ(check.links, (std::vector<Identity>{{"child", ""}, {"top", ""}, {"top", "$edgeHub"}}));
  for (const std::string_view user :
       {"hub/dev1/?api-version=2021-04-12&auth-chain=dev2;top", "hub/dev1/?api-version=2021-04-12&auth-chain=dev1;;top",
        "hub/dev1/?api-version=2021-04-12&auth-chain=dev1/mod1;dev1;top"}) {
    c.user_name = user;
    EXPECT_EQ(CheckConnect(c).result, ConnectResult::kAuthChain) << user;
  }
  EXPECT_EQ(CodeFor(ConnectResult::kAuthChain), mqtt::ConnackCode::kNotAuthorized);
  EXPECT_EQ(CheckConnect(Good()).actor, "");
}

TEST(ConnectRulesTest, RefusalsAndTheirCodes) {
  mqtt::Connect c = Good();
  c.client_id = "";
  EXPECT_EQ(CodeFor(CheckConnect(c).result), mqtt::ConnackCode::kIdentifierRejected);
  c = Good();
  c.client_id = "dev2";
  EXPECT_EQ(CheckConnect(c).result, ConnectResult::kClientIdMismatch);
  EXPECT_EQ(CodeFor(ConnectResult::kClientIdMismatch), mqtt::ConnackCode::kNotAuthorized);
  c = Good();
  c.client_id = "DEV1";
  EXPECT_EQ(CheckConnect(c).result, ConnectResult::kClientIdMismatch) << "ids are compared byte by byte";
  c = Good();
  c.user_name = "hub/dev1";
  EXPECT_EQ(CodeFor(CheckConnect(c).result), mqtt::ConnackCode::kNotAuthorized);
  c = Good();
  c.has_user_name = false;
  EXPECT_EQ(CodeFor(CheckConnect(c).result), mqtt::ConnackCode::kNotAuthorized);
  EXPECT_EQ(CodeFor(CheckConnectError(mqtt::Error::kProtocolLevel).result), mqtt::ConnackCode::kUnacceptableProtocol);
  EXPECT_EQ(CheckConnectError(mqtt::Error::kTruncated).result, ConnectResult::kMalformed);
}

TEST(ConnectRulesTest, WillMustBeTelemetryOfTheClient) {
  mqtt::Connect c = Good();
  c.has_will = true;
  c.will.topic = "devices/dev1/messages/events/a=b";
  EXPECT_EQ(CheckConnect(c).result, ConnectResult::kAccepted);
  c.will.topic = "devices/dev2/messages/events/";
  EXPECT_EQ(CheckConnect(c).result, ConnectResult::kBadWill);
}

// P5: before the first sync, and while auth is away, "server unavailable", never "not authorized".
TEST(ConnectRulesTest, WhoCannotBeJudgedIsToldToComeAgain) {
  EXPECT_EQ(CodeFor(CheckAnswer(absl::UnavailableError("away")).result), mqtt::ConnackCode::kServerUnavailable);
  EXPECT_EQ(CodeFor(CheckAnswer(absl::DeadlineExceededError("slow")).result), mqtt::ConnackCode::kServerUnavailable);
  auth::v1::AuthenticateResponse response;
  EXPECT_EQ(CodeFor(CheckAnswer(response).result), mqtt::ConnackCode::kServerUnavailable) << "unspecified is no grant";
  response.set_decision(auth::v1::AuthenticateResponse::DECISION_NOT_READY);
  EXPECT_EQ(CodeFor(CheckAnswer(response).result), mqtt::ConnackCode::kServerUnavailable);
  response.set_decision(auth::v1::AuthenticateResponse::DECISION_DENIED);
  EXPECT_EQ(CodeFor(CheckAnswer(response).result), mqtt::ConnackCode::kNotAuthorized);
  response.set_decision(auth::v1::AuthenticateResponse::DECISION_GRANTED);
  EXPECT_EQ(CodeFor(CheckAnswer(response).result), mqtt::ConnackCode::kAccepted);
}

// P6: what is logged of a refusal never holds the password.
TEST(ConnectRulesTest, ReasonsHoldNoPassword) {
  mqtt::Connect c = Good();
  for (const std::string_view user : {"hub", "hub/dev1", "hub/dev2/?api-version=1"}) {
    c.user_name = user;
    EXPECT_THAT(CheckConnect(c).reason, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace holdfast::router
