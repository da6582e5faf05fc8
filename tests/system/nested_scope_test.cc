// Who is below whom: what a parent tells its child gateways, whom it lets them speak for, and what changes at the hub.
#include "tests/system/nested.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// P4, P6: one sync through the parent, of those below the child and nobody else; then without anybody, over restarts.
TEST_F(NestedTest, FirstSyncGoesThroughTheParentAndLastsWithoutIt) {
  Begin();
  EXPECT_EQ(Login(*child_, "leaf"), kAccepted);
  EXPECT_EQ(Login(*child_, "near"), kNotAuthorized) << "a device of the parent's own";
  EXPECT_EQ(Identities(*child_), 5u) << "child, its $edgeHub, $edgeAgent and sensor, leaf";
  keys_["leaf"] = hub_.Key("leaf");
  ASSERT_TRUE(parent_->Stop());
  hub_.Stop();
  ASSERT_TRUE(child_->Stop());
  ASSERT_TRUE(child_->Start());
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login(*child_, "leaf") == kAccepted; }));
}

// P4: a child that comes up for the first time while the hub is away is told what its parent knows.
TEST_F(NestedTest, ChildComesUpWhileTheHubIsAway) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  CutHub();
  keys_["leaf"] = hub_.Key("leaf");
  ASSERT_TRUE(StartOnline(*child_)) << "the parent is its hub";
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login(*child_, "leaf") == kAccepted; }));
}

// P11: what a child gateway says of another's device is not believed, and does that device no harm.
TEST_F(NestedTest, ChildThatLiesAboutOthersHarmsNobody) {
  Begin();
  Publisher::Options as_near = Device("near", 1);
  as_near.port = parent_->mqtt_port();
  Publisher near(as_near);
  ASSERT_TRUE(near.WaitUntilAcknowledged(1, kPatience));
  EXPECT_EQ(OnBehalf("near", "near;child"), kNotAuthorized);
  near.Allow(2);
  EXPECT_TRUE(near.WaitUntilAcknowledged(2, kPatience));
  EXPECT_EQ(near.connects(), 1u);
  EXPECT_EQ(Login(*parent_, "near"), kAccepted);
}

// P11: who is removed at the hub is out at the parent with its next sync and at the child with its own.
TEST_F(NestedTest, RemovedLeafIsOutAtTheChild) {
  Begin();
  keys_["leaf"] = hub_.Key("leaf");
  Publisher leaf(Device("leaf", 1));
  Publisher sensor(Device("child/sensor", 1));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(1, kPatience));
  ASSERT_TRUE(sensor.WaitUntilAcknowledged(1, kPatience));
  hub_.Remove("leaf");
  const HttpAnswer answer = hub_.Invoke("parent/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(OnBehalf("leaf", "leaf;child"), kNotAuthorized) << "at the parent at once";
  EXPECT_TRUE(WaitFor(kPatience, [&] { return leaf.refused() == kNotAuthorized; })) << "it came back and was refused";
  EXPECT_EQ(Login(*child_, "leaf"), kNotAuthorized);
  EXPECT_EQ(sensor.connects(), 1u) << "the other one noticed nothing";
}

// P11: a gateway that is disabled at the hub speaks for nobody any more; what it keeps comes when it is back.
TEST_F(NestedTest, DisabledGatewaySpeaksForNobody) {
  Begin();
  Publisher leaf(Device("leaf", 10));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(10, kPatience));
  ASSERT_TRUE(hub_.WaitForMessages(10, kPatience));
  hub_.SetEnabled("child", false);
  hub_.Invoke("parent/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr);
  EXPECT_TRUE(child_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  EXPECT_EQ(OnBehalf("leaf", "leaf;child"), kNotAuthorized);
  leaf.Allow(20);
  EXPECT_TRUE(leaf.WaitUntilAcknowledged(20, kPatience)) << "the child is on its own";
  EXPECT_EQ(hub_.messages(), 10u);
  hub_.SetEnabled("child", true);
  hub_.Invoke("parent/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr);
  ExpectAll({&leaf}, 0);
}

// A device that is new at the hub, two gateways away: found at its first attempt, through both.
TEST_F(NestedTest, NewLeafIsFoundOnDemandThroughTheParent) {
  child_->Reconfigure({{"uplink.scope_refresh_interval", "\"1h\""}});
  Begin();
  hub_.PutLeaf("late", "child");
  EXPECT_EQ(Login(*child_, "late"), kAccepted);
  Publisher late(Device("late", 10));
  EXPECT_TRUE(late.WaitUntilAcknowledged(10, kPatience));
  EXPECT_TRUE(hub_.WaitForMessages(10, kPatience));
  ExpectAll({&late}, 0);
}

// P4: a gateway that is made below the parent after the parent's last sync is found when it logs in, and told of
// those below it at once: the hub may be away when they come.
TEST_F(NestedTest, ChildGatewayAddedLaterHasItsChildrenAtOnce) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  hub_.PutEdge("second", "parent");
  hub_.PutLeaf("late", "second");
  child_ = MakeBelow(parent_, parent_.mqtts_port, "second", {});
  ASSERT_TRUE(StartOnline(*child_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*child_) > 0; }));
  EXPECT_EQ(Identities(*child_), 4u) << "second, its $edgeHub and $edgeAgent, late";
  CutHub();
  Publisher late(Device("late", 10));
  EXPECT_TRUE(late.WaitUntilAcknowledged(10, kPatience));
  ASSERT_TRUE(child_->WaitUntilDrained(kPatience)) << "the parent lets the child speak for it";
  hub_.ClearFaults();
  EXPECT_TRUE(hub_.WaitForMessages(10, kPatience));
  ExpectAll({&late}, kWindow);
}

// P12: five layers of gateways and the client; and a chain is believed only if it is true.
TEST_F(NestedTest, ChainsThatAreTooLongOrUntrueAreRefused) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  EXPECT_EQ(OnBehalf("leaf", "leaf;child"), kAccepted);
  EXPECT_EQ(OnBehalf("leaf", "leaf;g5;g4;g3;g2;g1;child"), kNotAuthorized);
  EXPECT_EQ(OnBehalf("near", "near;child"), kNotAuthorized);
  EXPECT_EQ(OnBehalf("near", "near;parent"), kNotAuthorized) << "with the child's token";
}

// P6: the parent tells a gateway of those below it, who shows its $edgeHub's token, and nobody else anything.
TEST_F(NestedTest, ScopeIsToldToTheGatewaysOwnEdgeHubOnly) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  const json all = {{"pageSize", 10}, {"authChain", "child"}};
  const std::string list = "devicesAndModulesInTargetDeviceScope";
  const HttpsAnswer page = AskParent("child", list, all, EdgeHubToken("child"));
  EXPECT_EQ(page.status, 200) << page.body;
  EXPECT_THAT(page.body, HasSubstr(hub_.Key("leaf")));
  EXPECT_THAT(page.body, Not(HasSubstr("near")));
  const auto refused = [&](int status, const HttpsAnswer& answer) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_THAT(answer.body, Not(HasSubstr(hub_.Key("leaf"))));
  };
  refused(401, AskParent("child", list, all, ""));
  refused(401, AskParent("child", list, all, EdgeHubToken("parent")));
  refused(401, AskParent("child", list, all, SasToken(hub_.hostname(), "child", hub_.Key("child"))));
  refused(401, AskParent("child", list, all, EdgeHubToken("child"), "$edgeAgent"));
  refused(403, AskParent("child", list, {{"authChain", "near;child"}}, EdgeHubToken("child")));
  refused(400, AskParent("child", list, {{"authChain", "leaf;child"}}, EdgeHubToken("child")));
  refused(404, AskParent("child", "getDeviceAndModuleOnBehalfOf",
                         {{"targetDeviceId", "nobody"}, {"authChain", "nobody;child"}}, EdgeHubToken("child")));
}

// P5: a parent that never synced refuses nobody; it says when to come again.
TEST_F(NestedTest, ParentThatNeverSyncedTellsTheChildToComeAgain) {
  const std::string token = EdgeHubToken("child");
  hub_.Stop();
  ASSERT_TRUE(parent_->Start());
  const HttpsAnswer answer =
      AskParent("child", "devicesAndModulesInTargetDeviceScope", {{"authChain", "child"}}, token);
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_EQ(answer.retry_after, "5");
}

}  // namespace
}  // namespace holdfast::systest
