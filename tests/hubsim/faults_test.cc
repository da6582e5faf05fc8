#include "tests/hubsim/faults.h"

#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

TEST(FaultsTest, RefusesWhatItDoesNotKnow) {
  Faults faults;
  for (const char* text :
       {"[]", "{}", R"({"kind":"magic"})", R"({"kind":"drop_acks","afer":1})", R"({"kind":"drop_acks","after":-1})",
        R"({"kind":"drop_acks","after":"1"})", R"({"kind":"delay_acks"})", R"({"kind":"connack","code":6})",
        R"({"kind":"rest_status","code":200})", R"({"kind":"reset"})", R"({"kind":"reset","after":2,"unacked":3})",
        R"({"kind":"throttle"})", R"({"kind":"refuse","device":"d"})", R"({"kind":"hang","target":"amqp"})",
        R"({"kind":"rest_page","code":500})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(faults.Set(json::parse(text)).status())) << text;
  }
  EXPECT_TRUE(faults.empty());
}

TEST(FaultsTest, MatchesDevicesAndModules) {
  Faults faults;
  ASSERT_TRUE(faults.Set({{"kind", "drop_acks"}, {"device", "d"}}).ok());
  ASSERT_TRUE(faults.Set({{"kind", "delay_acks"}, {"ms", 1}, {"device", "d/m"}}).ok());
  EXPECT_NE(faults.Find(FaultKind::kDropAcks, "d"), nullptr);
  EXPECT_NE(faults.Find(FaultKind::kDropAcks, "d", "m"), nullptr) << "a device's modules too";
  EXPECT_EQ(faults.Find(FaultKind::kDropAcks, "dm"), nullptr);
  EXPECT_EQ(faults.Find(FaultKind::kDelayAcks, "d"), nullptr);
  EXPECT_NE(faults.Find(FaultKind::kDelayAcks, "d", "m"), nullptr);
  EXPECT_EQ(faults.Find(FaultKind::kDelayAcks, "d", "n"), nullptr);
}

TEST(FaultsTest, MatchesPaths) {
  Faults faults;
  ASSERT_TRUE(faults.Set({{"kind", "rest_status"}, {"code", 500}, {"path", "Scope"}, {"device", "edge"}}).ok());
  EXPECT_NE(faults.FindRest(FaultKind::kRestStatus, "/devices/edge/modules/$edgeHub/xScope"), nullptr);
  EXPECT_EQ(faults.FindRest(FaultKind::kRestStatus, "/devices/edge2/modules/$edgeHub/xScope"), nullptr);
  EXPECT_EQ(faults.FindRest(FaultKind::kRestStatus, "/devices/edge"), nullptr);
}

TEST(FaultsTest, IsSpentAfterItsTimes) {
  Faults faults;
  ASSERT_TRUE(faults.Set({{"kind", "connack"}, {"code", 3}, {"times", 2}}).ok());
  for (int i = 0; i < 2; ++i) {
    Fault* fault = faults.Find(FaultKind::kConnack, "d");
    ASSERT_NE(fault, nullptr);
    ++fault->struck;
  }
  EXPECT_EQ(faults.Find(FaultKind::kConnack, "d"), nullptr);
  EXPECT_EQ(faults.List()[0].at("struck"), 2);
}

TEST(FaultsTest, RefusesAndHangsByTarget) {
  Faults faults;
  const auto hang = faults.Set({{"kind", "hang"}, {"target", "rest"}});
  EXPECT_EQ(faults.Hang("mqtt"), nullptr);
  EXPECT_NE(faults.Hang("rest"), nullptr);
  ASSERT_TRUE(faults.Set({{"kind", "hang"}, {"device", "d"}}).ok());
  EXPECT_EQ(faults.Hang("mqtt"), nullptr) << "one device is not everybody";
  EXPECT_TRUE(faults.HangsDevice("d", "m"));
  EXPECT_FALSE(faults.HangsDevice("e", ""));
  EXPECT_FALSE(faults.Refuses("mqtt"));
  ASSERT_TRUE(faults.Set({{"kind", "refuse"}}).ok());
  EXPECT_TRUE(faults.Refuses("mqtt") && faults.Refuses("rest"));
  EXPECT_TRUE(faults.Clear(*hang));
  EXPECT_FALSE(faults.Clear(*hang));
  EXPECT_EQ(faults.Hang("rest"), nullptr);
  EXPECT_TRUE(faults.Clear(0));
  EXPECT_TRUE(faults.empty());
}

TEST(FaultsTest, HasALimit) {
  Faults faults;
  for (size_t i = 0; i < kFaultsMax; ++i) ASSERT_TRUE(faults.Set({{"kind", "drop_acks"}}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(faults.Set({{"kind", "drop_acks"}}).status()));
}

}  // namespace
}  // namespace holdfast::hubsim
