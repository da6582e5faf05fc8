#include "tests/hubsim/registry.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const Match kCreate{.kind = Match::kCreate};
const Match kAny{.kind = Match::kAny};

class RegistryTest : public ::testing::Test {
 protected:
  absl::Status Put(const std::string& id, const IdentityEdit& edit, const Match& match = kCreate) {
    return registry_.PutDevice(id, edit, match, kNow).status();
  }
  absl::Status Edge(const std::string& id, const std::string& parent = "") {
    return Put(id, {.is_edge = true, .parent = parent});
  }
  absl::Status Chain(const std::string& chain, const std::string& device, const std::string& module = "") {
    return registry_.CheckChain(chain, device, module).status();
  }

  Registry registry_{20};
};

TEST_F(RegistryTest, GivesANewIdentityKeysAGenerationAndAnEtag) {
  ASSERT_TRUE(Put("a", {}).ok());
  ASSERT_TRUE(Put("b", {}).ok());
  const Device& a = *registry_.FindDevice("a");
  const Device& b = *registry_.FindDevice("b");
  EXPECT_EQ(a.authentication.type, AuthType::kSas);
  EXPECT_EQ(a.authentication.primary_key.size(), 44u);
  EXPECT_NE(a.authentication.primary_key, a.authentication.secondary_key);
  EXPECT_NE(a.generation_id, b.generation_id);
  EXPECT_NE(a.etag, b.etag);
}

TEST_F(RegistryTest, EditsByEtag) {
  EXPECT_TRUE(absl::IsNotFound(Put("a", {}, kAny)));
  ASSERT_TRUE(Put("a", {}).ok());
  const Device before = *registry_.FindDevice("a");
  EXPECT_TRUE(absl::IsAlreadyExists(Put("a", {})));
  ASSERT_TRUE(Put("a", {.enabled = false}, {.kind = Match::kEtag, .etag = before.etag}).ok());
  const Device& after = *registry_.FindDevice("a");
  EXPECT_FALSE(after.enabled);
  EXPECT_NE(after.etag, before.etag);
  EXPECT_EQ(after.generation_id, before.generation_id);
  EXPECT_EQ(after.authentication.primary_key, before.authentication.primary_key) << "what is not said stays";
  EXPECT_TRUE(absl::IsFailedPrecondition(Put("a", {}, {.kind = Match::kEtag, .etag = before.etag})));
  EXPECT_TRUE(absl::IsFailedPrecondition(registry_.RemoveDevice("a", {.kind = Match::kEtag, .etag = before.etag})));
  EXPECT_TRUE(Put("a", {}, {.kind = Match::kUpsert}).ok());
  EXPECT_TRUE(Put("c", {}, {.kind = Match::kUpsert}).ok());
}

TEST_F(RegistryTest, SasWithoutKeysKeepsThem) {
  ASSERT_TRUE(Put("a", {}).ok());
  const std::string key = registry_.FindDevice("a")->authentication.primary_key;
  ASSERT_TRUE(Put("a", {.authentication = Authentication{}}, kAny).ok());
  EXPECT_EQ(registry_.FindDevice("a")->authentication.primary_key, key);
}

TEST_F(RegistryTest, RefusesBadCredentialsAndIds) {
  const auto with = [](Authentication a) { return IdentityEdit{.authentication = std::move(a)}; };
  EXPECT_FALSE(Put("a", with({.primary_key = "no base64!"})).ok());
  EXPECT_FALSE(Put("a", with({.primary_key = "YWJj"})).ok()) << "too short";
  EXPECT_FALSE(Put("a", with({.type = AuthType::kSelfSigned})).ok());
  EXPECT_FALSE(Put("a", with({.type = AuthType::kSelfSigned, .primary_thumbprint = "abc"})).ok());
  EXPECT_TRUE(Put("a", with({.type = AuthType::kSelfSigned, .primary_thumbprint = std::string(40, 'A')})).ok());
  EXPECT_TRUE(Put("b", with({.type = AuthType::kSelfSigned, .secondary_thumbprint = std::string(64, 'f')})).ok());
  EXPECT_FALSE(Put("a/b", {}).ok());
  EXPECT_FALSE(Put("", {}).ok());
}

TEST_F(RegistryTest, AGatewayHasItsTwoModules) {
  ASSERT_TRUE(Edge("edge").ok());
  EXPECT_NE(registry_.FindModule("edge", "$edgeHub"), nullptr);
  EXPECT_NE(registry_.FindModule("edge", "$edgeAgent"), nullptr);
  EXPECT_EQ(registry_.FindModule("edge", "m"), nullptr);
  const std::string key = registry_.FindModule("edge", "$edgeHub")->authentication.primary_key;
  ASSERT_TRUE(Put("edge", {.enabled = false}, kAny).ok());
  EXPECT_EQ(registry_.FindModule("edge", "$edgeHub")->authentication.primary_key, key) << "an edit leaves them alone";
}

TEST_F(RegistryTest, OneParentThatIsAGateway) {
  ASSERT_TRUE(Edge("edge").ok());
  ASSERT_TRUE(Put("leaf", {.parent_scope = registry_.FindDevice("edge")->OwnScope()}).ok());
  EXPECT_EQ(registry_.FindDevice("leaf")->parent, "edge");
  EXPECT_FALSE(Put("x", {.parent = "leaf"}).ok()) << "a leaf is no parent";
  EXPECT_FALSE(Put("x", {.parent = "unknown"}).ok());
  EXPECT_FALSE(Put("x", {.parent_scope = "ms-azure-iot-edge://edge-0"}).ok()) << "another generation";
  EXPECT_FALSE(Put("edge", {.parent = "edge"}, kAny).ok()) << "itself";
  EXPECT_FALSE(Put("edge", {.is_edge = false}, kAny).ok()) << "it has children";
  ASSERT_TRUE(Edge("other").ok());
  ASSERT_TRUE(Put("leaf", {.parent = "other"}, kAny).ok());
  EXPECT_EQ(registry_.FindDevice("leaf")->parent, "other") << "moved, not added";
  ASSERT_TRUE(registry_.RemoveDevice("other", kAny).ok());
  EXPECT_EQ(registry_.FindDevice("leaf")->parent, "");
}

TEST_F(RegistryTest, GatewaysNestWithoutCyclesToALimit) {
  ASSERT_TRUE(Edge("e1").ok());
  for (size_t i = 2; i <= kGatewayLayersMax; ++i) {
    ASSERT_TRUE(Edge(fmt::format("e{}", i), fmt::format("e{}", i - 1)).ok()) << i;
  }
  EXPECT_FALSE(Edge("too-deep", fmt::format("e{}", kGatewayLayersMax)).ok());
  EXPECT_TRUE(Put("leaf", {.parent = fmt::format("e{}", kGatewayLayersMax)}).ok());
  EXPECT_FALSE(Put("e1", {.parent = "e3"}, kAny).ok()) << "a cycle";
  ASSERT_TRUE(Edge("top").ok());
  EXPECT_FALSE(Put("e1", {.parent = "top"}, kAny).ok()) << "would push the lowest too deep";
}

TEST_F(RegistryTest, KeepsToItsLimits) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Put(fmt::format("d{}", i), {}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Put("more", {})));
  for (size_t i = 0; i < kModulesPerDeviceMax; ++i) {
    ASSERT_TRUE(registry_.PutModule("d0", fmt::format("m{}", i), {}, kCreate, kNow).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(registry_.PutModule("d0", "more", {}, kCreate, kNow).status()));
}

TEST_F(RegistryTest, ChecksEveryLinkOfAChain) {
  ASSERT_TRUE(Edge("top").ok());
  ASSERT_TRUE(Edge("mid", "top").ok());
  ASSERT_TRUE(Put("leaf", {.parent = "mid"}).ok());
  ASSERT_TRUE(Put("free", {}).ok());
  ASSERT_TRUE(registry_.PutModule("leaf", "m", {}, kCreate, kNow).ok());
  EXPECT_EQ((*registry_.CheckChain("leaf;mid;top", "leaf", ""))->device_id, "top");
  EXPECT_TRUE(Chain("leaf;mid", "leaf").ok());
  EXPECT_TRUE(Chain("leaf/m;leaf;mid;top", "leaf", "m").ok());
  EXPECT_TRUE(Chain("mid", "mid").ok()) << "a gateway itself";
  EXPECT_TRUE(Chain("mid/$edgeHub;mid;top", "mid", "$edgeHub").ok());

  for (const char* chain : {"leaf;top", "leaf", "mid;top", "leaf;mid;top;", ";leaf", "", "free;top", "leaf;leaf;mid",
                            "leaf;mid;top;top", "leaf;mid;mid", "a;a;a;a;a;a;a;a;a;a"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(Chain(chain, "leaf"))) << chain;
  }
  EXPECT_TRUE(absl::IsPermissionDenied(Chain("leaf;mid", "leaf", "m"))) << "the module must be named";
  EXPECT_TRUE(absl::IsPermissionDenied(Chain("leaf/m", "leaf", "m")));
  EXPECT_TRUE(absl::IsNotFound(Chain("ghost;mid", "ghost")));
  EXPECT_TRUE(absl::IsNotFound(Chain("leaf/x;leaf;mid", "leaf", "x")));

  ASSERT_TRUE(Put("leaf", {.enabled = false}, kAny).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Chain("leaf;mid", "leaf")));
  EXPECT_TRUE(registry_.CheckChain("leaf;mid", "leaf", "", Registry::Leaf::kAnyStatus).ok());
  ASSERT_TRUE(Put("mid", {.enabled = false}, kAny).ok());
  EXPECT_FALSE(registry_.CheckChain("leaf;mid;top", "leaf", "", Registry::Leaf::kAnyStatus).ok());
}

}  // namespace
}  // namespace holdfast::hubsim
