// HubExchange: twins of both sides become the same (P10).
#include <nlohmann/json.hpp>

#include "services/uplink/hub_exchange_fixture.h"

namespace holdfast::uplink {
namespace {

using nlohmann::json;

// P10: both directions, and a gap.
TEST_F(HubExchangeTest, TwinsOfBothSidesBecomeTheSame) {
  CONNECT_DEV1();
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"t":1})"); });
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"t":1})"), 204);
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) { return !twin.has_sending() && twin.pending().empty(); }));

  Send("$iothub/twin/PATCH/properties/desired/?$version=2", R"({"mode":"eco","$version":2})");
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) { return twin.desired_version() == 2; }));
  Send("$iothub/twin/PATCH/properties/desired/?$version=4", R"({"mode":"off","$version":4})");
  AnswerTwin(Rid("$iothub/twin/GET/"), 200,
             R"({"desired":{"mode":"off","rate":3,"$version":4},"reported":{"t":1,"$version":2}})");
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) {
    return twin.desired_version() == 4 && json::parse(twin.desired()) == json{{"mode", "off"}, {"rate", 3}};
  }));
}

// P10: what the hub refuses for good is set aside, and what comes later goes on.
TEST_F(HubExchangeTest, RefusedPatchDoesNotBlockTheNext) {
  CONNECT_DEV1();
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"bad":1})"); });
  const std::string rid = Rid("$iothub/twin/PATCH/properties/reported/", R"({"bad":1})");
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"good":1})"); });
  AnswerTwin(rid, 400);
  const std::string next = Rid("$iothub/twin/PATCH/properties/reported/", R"({"good":1})");
  AnswerTwin(next, 429);
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"good":1})"), 204);
  EXPECT_TRUE(WaitTwin("dev1", [](const auto& twin) {
    return !twin.has_sending() && twin.pending().empty() && twin.refused_total() == 1 &&
           twin.refused_patch() == R"({"bad":1})";
  }));
}

// P10: it reported, and left while there was no hub.
TEST_F(HubExchangeTest, WhatAnAbsentClientReportedIsSentAndTheConnectionIsLetGo) {
  ChangeTwin("dev9", [](auto* twin) {
    twin->set_pending(R"({"last":1})");
    twin->set_synced_unix_ms(absl::ToUnixMillis(absl::Now()));
  });
  Start();
  ASSERT_TRUE(WaitWanted("dev9", true));
  Connect("dev9");
  Grant();
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"last":1})"), 204);
  AnswerTwin(Rid("$iothub/twin/GET/"), 200, kTwin);
  EXPECT_TRUE(WaitWanted("dev9", false));
  EXPECT_TRUE(WaitTwin("dev9", [](const auto& twin) { return twin.desired_version() == 1; }));
}

// A patch that was on its way when the connection broke goes first, unchanged.
TEST_F(HubExchangeTest, WhatWasBeingSentIsSentAgainUnchanged) {
  CONNECT_DEV1();
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"a":1})"); });
  Rid("$iothub/twin/PATCH/properties/reported/", R"({"a":1})");
  ChangeTwin("dev1", [](auto* twin) { twin->set_pending(R"({"b":1})"); });
  Disconnect();
  Connect("dev1");
  Grant();
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"a":1})"), 204);
  AnswerTwin(Rid("$iothub/twin/PATCH/properties/reported/", R"({"b":1})"), 204);
  Rid("$iothub/twin/GET/");
}

}  // namespace
}  // namespace holdfast::uplink
