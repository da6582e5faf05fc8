#include "services/uplink/client_wants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::uplink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class ClientWantsTest : public testing::Test {
 protected:
  static presence::v1::ClientPresence Present(bool c2d = false, bool methods = false, bool desired = false) {
    presence::v1::ClientPresence presence;
    presence.set_cloud_to_device(c2d);
    presence.set_methods(methods);
    presence.set_desired_properties(desired);
    return presence;
  }
  TwinState Synced(absl::Duration ago = absl::ZeroDuration()) const {
    return {.synced_unix_ms = absl::ToUnixMillis(wall_ - ago)};
  }
  std::vector<std::string> Tick(bool online = true) { return wants_.Tick(now_, wall_, online); }
  void Pass(absl::Duration d) {
    now_ += d;
    wall_ += d;
  }

  absl::Duration now_ = absl::Seconds(1000);
  absl::Time wall_ = absl::FromUnixSeconds(1'800'000'000);
  ClientWants wants_{{.errands_max = 2}};
};

TEST_F(ClientWantsTest, ClientThatWaitsForSomethingIsHeldWhileItIsThere) {
  wants_.SetPresence("dev1", Present(true, true));
  EXPECT_THAT(wants_.TakeChanged(), ElementsAre("dev1"));
  EXPECT_EQ(wants_.duties("dev1"), (Duties{.cloud_to_device = true, .methods = true, .twin = true}));
  EXPECT_EQ(wants_.held_count(), 1u);
  wants_.SetPresence("dev1", Present(false, true));
  EXPECT_EQ(wants_.duties("dev1"), (Duties{.methods = true, .twin = true}));
  wants_.RemovePresence("dev1");
  EXPECT_THAT(wants_.TakeChanged(), ElementsAre("dev1"));
  EXPECT_FALSE(wants_.duties("dev1").any());
  EXPECT_EQ(wants_.held_count(), 0u);
}

TEST_F(ClientWantsTest, ModulesHaveNoCloudToDeviceMessages) {
  wants_.SetPresence("dev1/mod1", Present(true));
  EXPECT_FALSE(wants_.duties("dev1/mod1").cloud_to_device);
}

TEST_F(ClientWantsTest, WhoAsksForItsTwinIsKeptUpToDate) {
  presence::v1::ClientPresence presence;
  presence.set_twin_responses(true);
  wants_.SetPresence("dev1", presence);
  EXPECT_TRUE(wants_.held("dev1"));
}

TEST_F(ClientWantsTest, ResetForgetsThoseWhoLeftMeanwhile) {
  wants_.SetPresence("dev1", Present(true));
  wants_.SetPresence("dev2", Present(true));
  wants_.SetTwin("dev2", Synced());
  wants_.TakeChanged();
  wants_.ClearPresence();
  wants_.SetPresence("dev1", Present(true));
  EXPECT_THAT(wants_.TakeChanged(), UnorderedElementsAre("dev1", "dev2"));
  EXPECT_TRUE(wants_.held("dev1"));
  EXPECT_FALSE(wants_.held("dev2"));
  EXPECT_EQ(wants_.present_count(), 1u);
}

// P10: it reported and left while there was no hub.
TEST_F(ClientWantsTest, AbsentClientWithSomethingToTellHasAnErrand) {
  wants_.SetTwin("dev1", {.pending = true, .synced_unix_ms = absl::ToUnixMillis(wall_)});
  EXPECT_THAT(Tick(false), IsEmpty()) << "offline";
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
  EXPECT_EQ(wants_.duties("dev1"), (Duties{.twin = true}));
  wants_.SetTwin("dev1", Synced());
  wants_.EndErrand("dev1", now_);
  EXPECT_FALSE(wants_.duties("dev1").any());
  Pass(absl::Minutes(1));
  EXPECT_THAT(Tick(), IsEmpty());
}

TEST_F(ClientWantsTest, TwinThatWasNeverReadIsReadWhenItsClientIsThere) {
  wants_.SetTwin("dev1", {});
  EXPECT_THAT(Tick(), IsEmpty());
  wants_.SetPresence("dev1", Present());
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
  wants_.EndErrand("dev1", now_);
  EXPECT_THAT(Tick(), IsEmpty()) << "the record is not seen yet";
  wants_.SetPresence("dev2", Present());
  EXPECT_THAT(Tick(), ElementsAre("dev2")) << "no record at all";
}

TEST_F(ClientWantsTest, OldRecordsAreReadAgainTheUrgentOnesFirst) {
  wants_.SetTwin("a-fresh", Synced(absl::Minutes(30)));
  wants_.SetTwin("b-stale", Synced(absl::Minutes(61)));
  wants_.SetTwin("c-future", Synced(-absl::Hours(100)));
  wants_.SetPresence("d-unread", Present());
  wants_.SetTwin("e-pending", {.pending = true});
  EXPECT_THAT(Tick(), ElementsAre("e-pending", "d-unread")) << "two at a time";
  wants_.EndErrand("e-pending", now_);
  EXPECT_THAT(Tick(), ElementsAre("b-stale"));
  wants_.EndErrand("d-unread", now_);
  EXPECT_THAT(Tick(), ElementsAre("c-future")) << "read by a clock that was wrong";
}

TEST_F(ClientWantsTest, ErrandThatDoesNotEndMakesRoomAndComesAgain) {
  wants_.SetTwin("dev1", {.pending = true});
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
  Pass(absl::Seconds(60));
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
  EXPECT_FALSE(wants_.duties("dev1").any());
  EXPECT_THAT(Tick(), IsEmpty());
  Pass(absl::Minutes(5));
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
}

TEST_F(ClientWantsTest, ErrandsEndWithTheLinkAndBeginAnew) {
  wants_.SetTwin("dev1", {.pending = true});
  Tick();
  EXPECT_THAT(Tick(false), ElementsAre("dev1"));
  EXPECT_EQ(wants_.errands(), 0u);
  Pass(absl::Seconds(2));
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
}

// P11.
TEST_F(ClientWantsTest, NoErrandForWhoIsGoneUntilItIsThereAnew) {
  wants_.SetTwin("dev1", {.pending = true});
  Tick();
  wants_.SetGone("dev1", now_);
  EXPECT_FALSE(wants_.duties("dev1").any());
  Pass(absl::Hours(1));
  EXPECT_THAT(Tick(), IsEmpty());
  wants_.SetPresence("dev1", Present());
  EXPECT_THAT(Tick(), ElementsAre("dev1"));
}

}  // namespace
}  // namespace holdfast::uplink
