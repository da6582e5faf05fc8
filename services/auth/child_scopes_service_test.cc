// Child gateways at auth: on whose behalf they may connect, and what they are told of those below them.
#include "services/auth/child_scopes_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "lib/iothub/sas_token.h"
#include "lib/pki/recipient.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/rpc/status.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/auth_service.h"
#include "services/auth/scope_page.h"

namespace holdfast::auth {
namespace {

using Answer = v1::AuthenticateResponse;
using Page = v1::GetScopePageResponse;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Scope(const std::string& gateway) {
  return "ms-azure-iot-edge://" + gateway + "-1";
}

// own ← child ← grandchild ← leaf, each gateway with its $edgeHub; keys are made of the ids.
class ChildGatewayTest : public ::testing::Test {
 protected:
  ChildGatewayTest() {
    hub_.Set({.hub_hostname = "hub.example", .device_id = "own", .module_id = "$edgeHub", .key = Key("own/$edgeHub")});
    AddGateway("own", "");
    AddGateway("child", "own");
    AddGateway("grandchild", "child");
    AddGateway("other", "own");
    Add({.device_id = "leaf", .scope = Scope("grandchild"), .parent_scopes = {Scope("grandchild")}});
    Add({.device_id = "leaf", .module_id = "mod"});
    Load();
    EXPECT_TRUE(channels_.WaitUntilReady(absl::Seconds(10)).ok());
  }
  ~ChildGatewayTest() override {
    wanted_.Stop();
    server_->Stop();
  }

  static std::string Key(std::string_view id) { return (std::string(id) + std::string(32, '.')).substr(0, 32); }
  void Add(Identity identity) {
    identity.primary_key = Key(FullId(identity));
    identity.version = ++versions_;
    set_.identities[FullId(identity)] = std::move(identity);
  }
  void AddGateway(const std::string& id, const std::string& parent) {
    Add({.device_id = id,
         .is_gateway = true,
         .scope = Scope(id),
         .parent_scopes = parent.empty() ? std::vector<std::string>{} : std::vector{Scope(parent)}});
    Add({.device_id = id, .module_id = "$edgeHub"});
  }
  void Load() { cache_.Set(std::make_shared<IdentitySet>(set_)); }
  std::string Token(const std::string& resource, const std::string& key_of) {
    return iothub::MakeSasToken("hub.example/devices/" + resource, Key(key_of), clock_.WallNow() + absl::Hours(1));
  }
  std::string EdgeHubToken(const std::string& gateway) {
    return Token(gateway + "/modules/$edgeHub", gateway + "/$edgeHub");
  }

  Answer Authenticate(const std::string& device, const std::string& module, const std::string& chain,
                      const std::string& password) {
    v1::AuthenticateRequest request;
    request.set_device_id(device);
    request.set_module_id(module);
    request.set_auth_chain(chain);
    request.set_password(password);
    request.set_peer("192.0.2.1:50000");
    grpc::ClientContext context;
    Answer answer;
    EXPECT_TRUE(v1::Authentication::NewStub(channels_.Pick())->Authenticate(&context, request, &answer).ok());
    return answer;
  }
  void ExpectDenied(Answer::Reason reason, const Answer& answer) {
    EXPECT_EQ(answer.decision(), Answer::DECISION_DENIED);
    EXPECT_EQ(Answer::Reason_Name(answer.reason()), Answer::Reason_Name(reason)) << answer.detail();
    EXPECT_EQ(answer.identity_version(), 0u);
  }

  v1::GetScopePageRequest Ask(const std::string& gateway, const std::string& chain) {
    v1::GetScopePageRequest request;
    request.set_gateway_device_id(gateway);
    request.set_password(EdgeHubToken(gateway));
    request.set_peer("192.0.2.1:50000");
    request.set_auth_chain(chain);
    request.set_recipient_certificate_pem(recipient_.Pem());
    return request;
  }
  Page Get(const v1::GetScopePageRequest& request) {
    grpc::ClientContext context;
    Page page;
    const auto status = v1::ChildScopes::NewStub(channels_.Pick())->GetScopePage(&context, request, &page);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return page;
  }
  Page GetChildren(const std::string& gateway, const std::string& chain) {
    auto request = Ask(gateway, chain);
    request.mutable_children();
    return Get(request);
  }
  Page GetOne(const std::string& chain, const std::string& device, const std::string& module = "") {
    auto request = Ask("child", chain);
    request.mutable_identity()->set_device_id(device);
    request.mutable_identity()->set_module_id(module);
    return Get(request);
  }
  std::vector<std::string> Names(const Page& page) {
    EXPECT_EQ(Page::Result_Name(page.result()), "RESULT_PAGE") << page.detail();
    const auto text = recipient_.Open(page.sealed_page());
    EXPECT_TRUE(text.ok()) << text.status();
    std::vector<std::string> names;
    const auto identities = ParseScopePage(text.value_or(""));
    EXPECT_TRUE(identities.ok()) << identities.status();
    for (const auto& [id, identity] : identities.value_or(IdentityMap())) {
      names.push_back(id);
      EXPECT_EQ(identity.primary_key, Key(id));
    }
    return names;
  }
  static void ExpectResult(Page::Result result, const Page& page) {
    EXPECT_EQ(Page::Result_Name(page.result()), Page::Result_Name(result)) << page.detail();
    EXPECT_EQ(page.sealed_page(), "");
  }

  uint64_t versions_ = 0;
  IdentitySet set_;
  TempDir dir_;
  ManualClock clock_;
  TrustedClock trusted_{clock_};
  IdentityCache cache_;
  HubIdentity hub_;
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  Authenticator authenticator_{"hub.example", "gw.example"};
  WantedIdentities wanted_{{.wait = absl::Seconds(20)}, clock_, *metrics_};
  FailureLimits limits_{{.per_client_max = 4}};
  AuthenticationService authentication_{authenticator_, cache_, hub_, wanted_, limits_, trusted_, clock_, *metrics_};
  ChildScopesService scopes_{{.authenticator = authenticator_,
                              .cache = cache_,
                              .hub = hub_,
                              .wanted = wanted_,
                              .limits = limits_,
                              .trusted_clock = trusted_,
                              .clock = clock_,
                              .metrics = *metrics_}};
  pki::Recipient recipient_ = *pki::Recipient::Create("router", clock_.WallNow());
  std::unique_ptr<rpc::Server> server_ =
      *rpc::Server::Create({.run_dir = dir_.path(), .service = "auth"}, {&authentication_, &scopes_});
  rpc::Channels channels_{dir_.path(), "auth"};
};

TEST_F(ChildGatewayTest, ChildConnectsOnBehalfOfThoseBelowIt) {
  const Answer leaf = Authenticate("leaf", "", "leaf;grandchild;child", EdgeHubToken("child"));
  EXPECT_EQ(leaf.decision(), Answer::DECISION_GRANTED) << leaf.detail();
  EXPECT_EQ(leaf.valid_for().seconds(), 3600 + 300) << "as long as the token of the one that speaks";
  EXPECT_GE(leaf.identity_version(), set_.identities["leaf"].version);
  EXPECT_GE(leaf.identity_version(), set_.identities["child/$edgeHub"].version);
  EXPECT_EQ(Authenticate("leaf", "mod", "leaf/mod;leaf;grandchild;child", EdgeHubToken("child")).decision(),
            Answer::DECISION_GRANTED);
  EXPECT_EQ(Authenticate("child", "$edgeHub", "", EdgeHubToken("child")).decision(), Answer::DECISION_GRANTED)
      << "its own connection is that of a module";
}

// Only $edgeHub may act, by its own key: not the device, not another module, not the client, not another gateway's.
TEST_F(ChildGatewayTest, OnlyTheEdgeHubOfTheLastGatewayMaySpeak) {
  const auto by = [&](const std::string& password) {
    return Authenticate("leaf", "", "leaf;grandchild;child", password);
  };
  ExpectDenied(Answer::REASON_WRONG_SIGNATURE, by(Token("child", "child")));
  ExpectDenied(Answer::REASON_WRONG_SIGNATURE, by(Token("child/modules/$edgeHub", "child")));
  ExpectDenied(Answer::REASON_WRONG_AUDIENCE, by(Token("leaf", "leaf")));
  ExpectDenied(Answer::REASON_WRONG_AUDIENCE, by(EdgeHubToken("grandchild")));
  ExpectDenied(Answer::REASON_TOO_MANY_FAILURES, by(EdgeHubToken("child")));  // four failures of child/$edgeHub
}

TEST_F(ChildGatewayTest, ChainMustBeTrueAndTheClients) {
  const std::string token = EdgeHubToken("child");
  ExpectDenied(Answer::REASON_WRONG_CHAIN, Authenticate("leaf", "", "leaf;child", token));
  ExpectDenied(Answer::REASON_WRONG_CHAIN, Authenticate("leaf", "", "grandchild;child", token));
  ExpectDenied(Answer::REASON_WRONG_CHAIN, Authenticate("leaf", "", "leaf;;child", token));
  ExpectDenied(Answer::REASON_WRONG_CHAIN, Authenticate("leaf", "mod", "leaf;grandchild;child", token));
  ExpectDenied(Answer::REASON_WRONG_CHAIN, Authenticate("leaf", "", "leaf;other", EdgeHubToken("other")));
}

// P11
TEST_F(ChildGatewayTest, DisabledOrRemovedLinkKeepsAllBelowItOut) {
  set_.identities["grandchild"].enabled = false;
  Load();
  ExpectDenied(Answer::REASON_IDENTITY_DISABLED,
               Authenticate("leaf", "", "leaf;grandchild;child", EdgeHubToken("child")));
  set_.identities.erase("grandchild");
  Load();
  ExpectDenied(Answer::REASON_UNKNOWN_IDENTITY,
               Authenticate("leaf", "", "leaf;grandchild;child", EdgeHubToken("child")));
}

// A gateway must not be kept out for what becomes of one that it speaks for.
TEST_F(ChildGatewayTest, RefusalsOfAClientAreNotTheGatewaysFailures) {
  for (int i = 0; i < 20; ++i) Authenticate("gone", "", "gone;grandchild;child", EdgeHubToken("child"));
  ExpectDenied(Answer::REASON_TOO_MANY_FAILURES,
               Authenticate("gone", "", "gone;grandchild;child", EdgeHubToken("child")));
  EXPECT_EQ(Authenticate("leaf", "", "leaf;grandchild;child", EdgeHubToken("child")).decision(),
            Answer::DECISION_GRANTED);
}

TEST_F(ChildGatewayTest, ScopeIsWhatAGatewayAnswersFor) {
  EXPECT_EQ(Names(GetChildren("child", "child")),
            (std::vector<std::string>{"child", "child/$edgeHub", "grandchild", "grandchild/$edgeHub"}));
  EXPECT_EQ(Names(GetChildren("child", "grandchild;child")),
            (std::vector<std::string>{"grandchild", "grandchild/$edgeHub", "leaf", "leaf/mod"}));
  EXPECT_EQ(Names(GetOne("leaf;grandchild;child", "leaf")), std::vector<std::string>{"leaf"});
  for (const char* chain : {"leaf;grandchild;child", "leaf/mod;leaf;grandchild;child", "leaf/mod;grandchild;child"}) {
    EXPECT_EQ(Names(GetOne(chain, "leaf", "mod")), (std::vector<std::string>{"leaf", "leaf/mod"})) << chain;
  }
}

TEST_F(ChildGatewayTest, ScopeIsToldInPages) {
  auto request = Ask("child", "child");
  request.mutable_children()->set_page_size(1);
  std::string text = *recipient_.Open(Get(request).sealed_page());
  const std::string key = R"("continuationLink":")";
  ASSERT_THAT(text, HasSubstr(key));
  text.erase(0, text.find(key) + key.size());
  request.mutable_children()->set_continuation(text.substr(0, text.find('"')));
  EXPECT_EQ(Names(Get(request)), (std::vector<std::string>{"grandchild", "grandchild/$edgeHub"}));
  request.mutable_children()->set_continuation("of another hub");
  ExpectResult(Page::RESULT_MALFORMED, Get(request));
}

// P6: nobody else's keys, and none to who has no credential.
TEST_F(ChildGatewayTest, NobodyIsToldOfOthers) {
  ExpectResult(Page::RESULT_NOT_IN_SCOPE, GetChildren("other", "child"));
  ExpectResult(Page::RESULT_NOT_IN_SCOPE, GetChildren("child", "other;child"));
  ExpectResult(Page::RESULT_NOT_IN_SCOPE, GetChildren("child", "own;child"));
  ExpectResult(Page::RESULT_NOT_IN_SCOPE, GetChildren("child", "child;own"));
  ExpectResult(Page::RESULT_MALFORMED, GetChildren("child", "leaf;grandchild;child"));
  ExpectResult(Page::RESULT_MALFORMED, GetOne("leaf;grandchild;child", "other"));
  ExpectResult(Page::RESULT_UNKNOWN, GetOne("nobody;child", "nobody"));
  auto request = Ask("child", "child");
  request.mutable_children();
  for (const std::string& password : {std::string(), Token("child", "child"), EdgeHubToken("other")}) {
    request.set_password(password);
    ExpectResult(Page::RESULT_UNAUTHENTICATED, Get(request));
  }
}

// P6: keys cross no socket in clear.
TEST_F(ChildGatewayTest, PageIsSealedForWhoAsked) {
  const Page page = GetChildren("child", "child");
  const std::string bytes = page.SerializeAsString();
  EXPECT_THAT(*recipient_.Open(page.sealed_page()), HasSubstr(absl::Base64Escape(Key("child"))));
  EXPECT_THAT(bytes, Not(HasSubstr(absl::Base64Escape(Key("child")))));
  EXPECT_THAT(bytes, Not(HasSubstr("symmetricKey")));
  const pki::Recipient other = *pki::Recipient::Create("other", clock_.WallNow());
  EXPECT_FALSE(other.Open(page.sealed_page()).ok());
}

// P5
TEST_F(ChildGatewayTest, BeforeTheFirstSyncTheChildIsToldToComeAgain) {
  cache_.SetNeverProvisioned();
  ExpectResult(Page::RESULT_NOT_READY, GetChildren("child", "child"));
  EXPECT_EQ(Authenticate("leaf", "", "leaf;grandchild;child", EdgeHubToken("child")).decision(),
            Answer::DECISION_NOT_READY);
}

// An identity that is new at the hub: it is asked for, along the chain, and the answer waits for that.
TEST_F(ChildGatewayTest, UnknownIdentityIsAskedForAtTheHubWithTheGatewaysAboveIt) {
  std::vector<WantedIdentities::Wanted> asked;
  const auto watcher = std::make_shared<const WantedIdentities::Watcher>(
      WantedIdentities::Watcher{.on_wanted =
                                    [&](const WantedIdentities::Wanted& wanted) {
                                      asked.push_back(wanted);
                                      Add({.device_id = "new", .scope = Scope("grandchild"), .parent_scopes = {}});
                                      Load();
                                      // As if uplink had brought it.
                                      IdentityChange change(IdentityChange::Kind::kDelta);
                                      EXPECT_TRUE(change.Unresolved("new", "").ok());
                                      wanted_.Answered(change);
                                    },
                                .on_over = [](const absl::Status&) {}});
  wanted_.Enter(watcher);
  EXPECT_EQ(Names(GetOne("new;grandchild;child", "new")), std::vector<std::string>{"new"});
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].id, "new");
  EXPECT_EQ(asked[0].gateways, (std::vector<std::string>{"grandchild", "child"}));
}

}  // namespace
}  // namespace holdfast::auth
