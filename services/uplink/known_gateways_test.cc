#include "services/uplink/known_gateways.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/rpc/server.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::uplink {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kTimeout = absl::Seconds(10);

class FakeIdentities final : public auth::v1::Identities::Service {
 public:
  grpc::Status ListIdentities(grpc::ServerContext*, const auth::v1::ListIdentitiesRequest*,
                              auth::v1::ListIdentitiesResponse* response) override {
    *response = list;
    return status;
  }
  void Add(const std::string& device, const std::string& module, const std::vector<std::string>& gateways) {
    auth::v1::Identity* const identity = list.add_identities();
    identity->set_device_id(device);
    identity->set_module_id(module);
    for (const std::string& gateway : gateways) identity->add_gateways(gateway);
  }
  auth::v1::ListIdentitiesResponse list;
  grpc::Status status;
};

class KnownGatewaysTest : public ::testing::Test {
 protected:
  KnownGatewaysTest() { EXPECT_TRUE(channels_.WaitUntilReady(kTimeout).ok()); }

  TempDir dir_;
  FakeIdentities identities_;
  std::unique_ptr<rpc::Server> server_ =
      *rpc::Server::Create({.run_dir = dir_.path(), .service = "auth"}, {&identities_});
  rpc::Channels channels_{dir_.path(), "auth"};
};

// P4: what auth keeps of an earlier sync is enough to speak for those below child gateways.
TEST_F(KnownGatewaysTest, DevicesBelowChildGatewaysWithTheWayToThem) {
  identities_.Add("near", "", {});
  identities_.Add("child", "", {});
  identities_.Add("grandchild", "", {"child"});
  identities_.Add("leaf", "", {"grandchild", "child"});
  identities_.Add("leaf", "mod", {"grandchild", "child"});
  const auto known = ReadKnownGateways(&channels_, kTimeout);
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_THAT(*known, UnorderedElementsAre(Pair("grandchild", "child"), Pair("leaf", "grandchild;child")));
}

TEST_F(KnownGatewaysTest, AuthThatHasNotReadTheStoreIsAskedAgainLater) {
  identities_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "not loaded");
  EXPECT_EQ(ReadKnownGateways(&channels_, kTimeout).status().code(), absl::StatusCode::kUnavailable);
}

TEST(JoinGatewaysTest, NearestFirst) {
  EXPECT_EQ(JoinGateways({}), "");
  EXPECT_EQ(JoinGateways({"grandchild", "child"}), "grandchild;child");
}

}  // namespace
}  // namespace holdfast::uplink
