#include "services/auth/chain_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::auth {
namespace {

using Response = v1::AuthenticateResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Scope(const std::string& gateway) {
  return "ms-azure-iot-edge://" + gateway + "-1";
}

// own ← child ← grandchild ← leaf; module leaf/mod; own ← near, a device; versions count up in this order.
class ChainRulesTest : public ::testing::Test {
 protected:
  ChainRulesTest() {
    AddGateway("own", "");
    AddGateway("child", "own");
    AddGateway("grandchild", "child");
    AddLeaf("leaf", "grandchild");
    Add({.device_id = "leaf", .module_id = "mod"});
    AddLeaf("near", "own");
    Add({.device_id = "child", .module_id = "$edgeHub"});
  }
  void Add(Identity identity) {
    identity.version = ++versions_;
    identities_[FullId(identity)] = std::move(identity);
  }
  void AddGateway(const std::string& id, const std::string& parent) {
    Add({.device_id = id,
         .is_gateway = true,
         .scope = Scope(id),
         .parent_scopes = parent.empty() ? std::vector<std::string>{} : std::vector{Scope(parent)}});
  }
  void AddLeaf(const std::string& id, const std::string& parent) {
    Add({.device_id = id, .scope = Scope(parent), .parent_scopes = {Scope(parent)}});
  }
  Verdict Judge(std::string_view chain, ClientStatus status = ClientStatus::kEnabled) {
    return JudgeChain(*iothub::ParseAuthChain(chain), identities_, "own", status);
  }
  void ExpectDenied(std::string_view chain, Response::Reason reason, std::string_view subject) {
    const Verdict verdict = Judge(chain);
    EXPECT_EQ(verdict.decision, Response::DECISION_DENIED) << chain;
    EXPECT_EQ(Response::Reason_Name(verdict.reason), Response::Reason_Name(reason)) << chain << ": " << verdict.detail;
    EXPECT_EQ(verdict.subject, subject) << chain;
    EXPECT_THAT(verdict.detail, HasSubstr(std::string(subject)));
  }

  uint64_t versions_ = 0;
  IdentityMap identities_;
};

TEST_F(ChainRulesTest, TrueChainsAreGranted) {
  for (const char* chain : {"leaf;grandchild;child", "leaf/mod;leaf;grandchild;child", "leaf/mod;grandchild;child",
                            "grandchild;child", "child", "child/$edgeHub;child"}) {
    EXPECT_EQ(Judge(chain).decision, Response::DECISION_GRANTED) << chain << ": " << Judge(chain).detail;
  }
}

// IoT Hub contract: five layers of gateways below this one, and the client. Each layer counts: one that hangs elsewhere
// breaks the chain for all below it, and a chain that skips one is untrue.
TEST_F(ChainRulesTest, FiveLayersAreJudgedLinkByLink) {
  std::string above = "own";
  std::string chain;
  for (int layer = 1; layer <= 5; ++layer) {
    const std::string gateway = "g" + std::to_string(layer);
    AddGateway(gateway, above);
    chain = chain.empty() ? gateway : gateway + ";" + chain;
    EXPECT_EQ(Judge(chain).decision, Response::DECISION_GRANTED) << chain;
    above = gateway;
  }
  AddLeaf("deep", "g5");
  chain = "deep;" + chain;
  EXPECT_EQ(Judge(chain).decision, Response::DECISION_GRANTED) << chain;
  EXPECT_THAT(ScopeTree(identities_, "own").GatewaysAbove(identities_.at("deep")),
              ElementsAre("g5", "g4", "g3", "g2", "g1"));
  ExpectDenied("deep;g5;g4;g2;g1", Response::REASON_WRONG_CHAIN, "g4");
  identities_["g3"].parent_scopes = {Scope("child")};
  ExpectDenied(chain, Response::REASON_WRONG_CHAIN, "g3");
  identities_["g3"].parent_scopes = {Scope("g2")};
  identities_["g3"].enabled = false;
  ExpectDenied(chain, Response::REASON_IDENTITY_DISABLED, "g3");
}

// P11: the highest version of all that it rests on, so that a change of any of them voids it.
TEST_F(ChainRulesTest, VersionIsTheHighestOfAllLinks) {
  EXPECT_EQ(Judge("leaf;grandchild;child").identity_version, identities_["child/$edgeHub"].version);
  for (const char* link : {"leaf", "grandchild", "child", "child/$edgeHub"}) {
    identities_[link].version = ++versions_;
    EXPECT_EQ(Judge("leaf;grandchild;child").identity_version, versions_) << link;
  }
  identities_["leaf/mod"].version = ++versions_;
  EXPECT_LT(Judge("leaf;grandchild;child").identity_version, versions_) << "nobody spoke of that one";
  EXPECT_EQ(Judge("leaf/mod;grandchild;child").identity_version, versions_);
}

TEST_F(ChainRulesTest, UntrueChainsAreDeniedAndNameWhoIsAtFault) {
  ExpectDenied("leaf;child", Response::REASON_WRONG_CHAIN, "leaf");
  ExpectDenied("near;child", Response::REASON_WRONG_CHAIN, "near");
  ExpectDenied("leaf;grandchild", Response::REASON_WRONG_CHAIN, "grandchild");
  ExpectDenied("leaf;child;grandchild", Response::REASON_WRONG_CHAIN, "grandchild");
  ExpectDenied("child;near", Response::REASON_WRONG_CHAIN, "near");
  ExpectDenied("near", Response::REASON_WRONG_CHAIN, "near");
  ExpectDenied("near;own", Response::REASON_WRONG_CHAIN, "own");
  ExpectDenied("stranger;grandchild;child", Response::REASON_UNKNOWN_IDENTITY, "stranger");
  ExpectDenied("leaf;stranger;child", Response::REASON_UNKNOWN_IDENTITY, "stranger");
  ExpectDenied("leaf/other;grandchild;child", Response::REASON_UNKNOWN_IDENTITY, "leaf/other");
}

// P11
TEST_F(ChainRulesTest, EveryLinkMustBeEnabled) {
  for (const char* link : {"leaf", "grandchild", "child"}) {
    identities_[link].enabled = false;
    ExpectDenied("leaf;grandchild;child", Response::REASON_IDENTITY_DISABLED, link);
    identities_[link].enabled = true;
  }
  identities_["leaf"].enabled = false;
  EXPECT_EQ(Judge("leaf;grandchild;child", ClientStatus::kAny).decision, Response::DECISION_GRANTED)
      << "a gateway may ask about one that is disabled";
  identities_["grandchild"].enabled = false;
  EXPECT_EQ(Judge("leaf;grandchild;child", ClientStatus::kAny).decision, Response::DECISION_DENIED);
}

// A gateway that was made anew has another scope: who hung below the old one does not hang below it.
TEST_F(ChainRulesTest, ScopeOfAnEarlierGenerationIsAnother) {
  identities_["grandchild"].scope = "ms-azure-iot-edge://grandchild-2";
  ExpectDenied("leaf;grandchild;child", Response::REASON_WRONG_CHAIN, "leaf");
}

// Identities of a file have no scopes, and a gateway that the hub does not know as one has no children.
TEST_F(ChainRulesTest, WithoutAScopeOfItsOwnAGatewayServesNoOther) {
  identities_["own"].is_gateway = false;
  ExpectDenied("leaf;grandchild;child", Response::REASON_WRONG_CHAIN, "leaf");
  identities_.erase("own");
  ExpectDenied("leaf;grandchild;child", Response::REASON_WRONG_CHAIN, "leaf");
}

TEST_F(ChainRulesTest, GatewaysAboveTheOneAtFault) {
  const auto chain = *iothub::ParseAuthChain("leaf/mod;leaf;grandchild;child");
  EXPECT_THAT(GatewaysAbove(chain, "leaf/mod"), ElementsAre("grandchild", "child"));
  EXPECT_THAT(GatewaysAbove(chain, "grandchild"), ElementsAre("child"));
  EXPECT_THAT(GatewaysAbove(chain, "child"), IsEmpty());
}

TEST_F(ChainRulesTest, TreeTellsWhoIsAboveAndEndsWhateverTheHubSays) {
  const auto above = [&](const std::string& id) {
    return ScopeTree(identities_, "own").GatewaysAbove(identities_.at(id));
  };
  EXPECT_THAT(above("leaf"), ElementsAre("grandchild", "child"));
  EXPECT_THAT(above("leaf/mod"), ElementsAre("grandchild", "child"));
  EXPECT_THAT(above("grandchild"), ElementsAre("child"));
  EXPECT_THAT(above("child"), IsEmpty());
  EXPECT_THAT(above("near"), IsEmpty());
  EXPECT_THAT(above("own"), IsEmpty());
  identities_["child"].parent_scopes = {Scope("grandchild")};
  EXPECT_THAT(above("leaf"), IsEmpty());
}

}  // namespace
}  // namespace holdfast::auth
