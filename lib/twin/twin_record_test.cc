#include "lib/twin/twin_record.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::twin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::StrEq;

constexpr int64_t kNow = 1'700'000'000'000;

TwinRecord Synced(std::string_view document) {
  TwinRecord record;
  EXPECT_TRUE(TakeHubDocument(document, kNow, &record).ok());
  return record;
}

TEST(TwinRecordTest, AnEmptyRecordIsAnEmptyTwinOfVersionZero) {
  EXPECT_EQ(ClientDocument(TwinRecord()), R"({"desired":{"$version":0},"reported":{"$version":0}})");
  TwinRecord spoilt;
  spoilt.set_desired("not json");
  spoilt.set_reported("[]");
  EXPECT_EQ(ClientDocument(spoilt), R"({"desired":{"$version":0},"reported":{"$version":0}})");
}

TEST(TwinRecordTest, ReportedPatchesAreMergedAndWaitForTheHub) {
  TwinRecord record;
  EXPECT_EQ(*ReportProperties(R"({"a":1,"b":{"c":2}})", &record), 1u);
  EXPECT_EQ(*ReportProperties(R"({"a":null,"b":{"d":3}})", &record), 2u);
  EXPECT_EQ(ClientDocument(record), R"({"desired":{"$version":0},"reported":{"$version":2,"b":{"c":2,"d":3}}})");
  EXPECT_EQ(record.pending(), R"({"a":null,"b":{"c":2,"d":3}})");
}

TEST(TwinRecordTest, ARefusedReportLeavesTheRecordAsItWas) {
  TwinRecord record = Synced(R"({"desired":{"$version":3},"reported":{"x":1,"$version":4}})");
  const std::string before = record.SerializeAsString();
  for (const char* patch : {"", "null", "[1]", "{", R"({"a b":1})", R"({"a":[null]})"}) {
    EXPECT_EQ(ReportProperties(patch, &record).status().code(), absl::StatusCode::kInvalidArgument) << patch;
    EXPECT_EQ(SetLocalDesired(patch, &record).code(), absl::StatusCode::kInvalidArgument) << patch;
  }
  EXPECT_EQ(record.SerializeAsString(), before);
}

TEST(TwinRecordTest, ADocumentThatWouldBeTooLargeIsRefused) {
  TwinRecord record;
  const std::string value(4000, 'v');
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(ReportProperties(fmt::format(R"({{"p{}":"{}"}})", i, value), &record).ok());
  const auto status = ReportProperties(fmt::format(R"({{"p9":"{}"}})", value), &record).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("at most 32768"));
  EXPECT_TRUE(ReportProperties(fmt::format(R"({{"p0":null,"p9":"{}"}})", value), &record).ok());
}

TEST(TwinRecordTest, WhatIsUnderWayIsSentAgainUnchanged) {
  TwinRecord record;
  EXPECT_EQ(BeginSending(&record), std::nullopt);
  ASSERT_TRUE(ReportProperties(R"({"a":1})", &record).ok());
  EXPECT_THAT(BeginSending(&record), Optional(StrEq(R"({"a":1})")));
  ASSERT_TRUE(ReportProperties(R"({"a":null})", &record).ok());
  // The answer was not heard.
  EXPECT_THAT(BeginSending(&record), Optional(StrEq(R"({"a":1})")));
  EXPECT_EQ(Untold(record), R"({"a":null})");
  Sent(&record);
  EXPECT_THAT(BeginSending(&record), Optional(StrEq(R"({"a":null})")));
  Sent(&record);
  EXPECT_EQ(BeginSending(&record), std::nullopt);
  EXPECT_EQ(record.hub_reported(), "");
}

TEST(TwinRecordTest, WhatTheHubRefusesIsSetAsideAndTheRestGoesOn) {
  TwinRecord record = Synced(R"({"desired":{"$version":1},"reported":{"x":1,"$version":4}})");
  ASSERT_TRUE(ReportProperties(R"({"bad":1,"x":2})", &record).ok());
  ASSERT_TRUE(BeginSending(&record).has_value());
  ASSERT_TRUE(ReportProperties(R"({"good":1})", &record).ok());
  Refused("400: too large", kNow + 5, &record);
  EXPECT_EQ(record.refused_patch(), R"({"bad":1,"x":2})");
  EXPECT_EQ(record.refused_reason(), "400: too large");
  EXPECT_EQ(record.refused_unix_ms(), kNow + 5);
  EXPECT_EQ(record.refused_total(), 1u);
  EXPECT_EQ(record.reported(), R"({"good":1,"x":1})");
  EXPECT_THAT(BeginSending(&record), Optional(StrEq(R"({"good":1})")));
  // Its answer comes twice.
  Sent(&record);
  Refused("again", kNow + 6, &record);
  EXPECT_EQ(record.refused_total(), 1u);
}

// P10: the client wins.
TEST(TwinRecordTest, WhatTheHubWasNotToldLiesOverItsReportedProperties) {
  TwinRecord record;
  ASSERT_TRUE(ReportProperties(R"({"a":1,"gone":null})", &record).ok());
  ASSERT_TRUE(BeginSending(&record).has_value());
  ASSERT_TRUE(ReportProperties(R"({"b":2})", &record).ok());
  ASSERT_TRUE(
      TakeHubDocument(R"({"desired":{"$version":1},"reported":{"a":0,"gone":1,"c":3,"$version":9,"$metadata":{}}})",
                      kNow, &record)
          .ok());
  EXPECT_EQ(ClientDocument(record), R"({"desired":{"$version":1},"reported":{"$version":9,"a":1,"b":2,"c":3}})");
}

TEST(TwinRecordTest, DeletionsOfWhatTheHubDoesNotHaveAreForgotten) {
  TwinRecord record = Synced(R"({"desired":{"$version":1},"reported":{"x":1,"$version":4}})");
  ASSERT_TRUE(ReportProperties(R"({"a":1})", &record).ok());
  ASSERT_TRUE(ReportProperties(R"({"a":null,"x":null})", &record).ok());
  EXPECT_EQ(record.pending(), R"({"x":null})");
  // Under way: it may have it by now.
  ASSERT_TRUE(ReportProperties(R"({"b":1})", &record).ok());
  ASSERT_TRUE(BeginSending(&record).has_value());
  ASSERT_TRUE(ReportProperties(R"({"b":null,"x":null})", &record).ok());
  EXPECT_EQ(record.pending(), R"({"b":null,"x":null})");
}

TEST(TwinRecordTest, WithoutAHubDeletionsDoNotAddUp) {
  TwinRecord record;
  const std::string name(500, 'n');
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(ReportProperties(fmt::format(R"({{"{0}{1}":null,"{0}{2}":1}})", name, i, i + 1), &record).ok());
    ASSERT_LE(record.pending().size(), kPendingBytesMax);
  }
  EXPECT_EQ(record.reported(), fmt::format(R"({{"{}300":1}})", name));
}

TEST(TwinRecordTest, TheHubsDocumentIsTakenAsItIs) {
  TwinRecord record;
  for (const char* bad : {"", "[]", R"({"reported":{"$version":1}})", R"({"desired":{},"reported":{"$version":1}})",
                          R"({"desired":{"$version":1},"reported":[]})", R"({"desired":{"$version":-1}})"}) {
    EXPECT_EQ(TakeHubDocument(bad, kNow, &record).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_EQ(record.ByteSizeLong(), 0u);
  ASSERT_TRUE(TakeHubDocument(R"({"desired":{"a":{"b":1},"$version":7,"$metadata":{"x":1}}})", kNow, &record).ok());
  EXPECT_EQ(ClientDocument(record), R"({"desired":{"$version":7,"a":{"b":1}},"reported":{"$version":0}})");
  EXPECT_EQ(record.synced_unix_ms(), kNow);
  // Deleted and made again at the hub.
  ASSERT_TRUE(TakeHubDocument(R"({"desired":{"$version":1},"reported":{"$version":1}})", kNow, &record).ok());
  EXPECT_EQ(record.desired_version(), 1u);
  EXPECT_EQ(record.client_version(), 8u);
}

TEST(TwinRecordTest, PatchesOfTheHubAreTakenInSequence) {
  TwinRecord record;
  Conflicts conflicts;
  EXPECT_EQ(*TakeHubPatch(R"({"a":1,"$version":1})", &conflicts, &record), PatchResult::kGap);
  record = Synced(R"({"desired":{"a":0,"b":1,"$version":4},"reported":{"$version":1}})");
  EXPECT_EQ(*TakeHubPatch(R"({"a":1,"$version":4})", &conflicts, &record), PatchResult::kOld);
  EXPECT_EQ(*TakeHubPatch(R"({"a":1,"$version":6})", &conflicts, &record), PatchResult::kGap);
  EXPECT_EQ(record.desired(), R"({"a":0,"b":1})");
  EXPECT_EQ(*TakeHubPatch(R"({"a":1,"b":null,"$version":5})", &conflicts, &record), PatchResult::kTaken);
  EXPECT_EQ(record.desired(), R"({"a":1})");
  EXPECT_EQ(record.client_version(), 5u);
  for (const char* bad : {"", "[]", R"({"a":1})", R"({"a":1,"$version":"6"})"}) {
    EXPECT_EQ(TakeHubPatch(bad, &conflicts, &record).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

// P10: the hub wins.
TEST(TwinRecordTest, ALocalValueGivesWayToTheHubs) {
  TwinRecord record = Synced(R"({"desired":{"a":0,"b":{"x":0},"$version":4},"reported":{"$version":1}})");
  ASSERT_TRUE(SetLocalDesired(R"({"a":1,"b":{"x":1,"y":1}})", &record).ok());
  EXPECT_EQ(record.client_version(), 5u);
  EXPECT_EQ(ClientDocument(record), R"({"desired":{"$version":5,"a":1,"b":{"x":1,"y":1}},"reported":{"$version":1}})");
  Conflicts conflicts;
  EXPECT_EQ(*TakeHubPatch(R"({"b":{"x":9},"$version":5})", &conflicts, &record), PatchResult::kTaken);
  EXPECT_THAT(conflicts, ElementsAre("b.x"));
  EXPECT_EQ(record.local_desired(), R"({"a":1,"b":{"y":1}})");
  EXPECT_EQ(record.client_version(), 6u);
  const auto rest =
      TakeHubDocument(R"({"desired":{"a":5,"b":{"x":9,"y":1},"$version":9},"reported":{}})", kNow, &record);
  EXPECT_THAT(*rest, ElementsAre("a"));
  EXPECT_EQ(record.local_desired(), "");
  EXPECT_EQ(record.client_version(), 9u);
}

TEST(TwinRecordTest, WhatIsSetWithoutAHubGivesWayToItsFirstWord) {
  TwinRecord record;
  ASSERT_TRUE(SetLocalDesired(R"({"a":1,"b":2})", &record).ok());
  ASSERT_TRUE(SetLocalDesired(R"({"a":1})", &record).ok());
  EXPECT_EQ(record.client_version(), 1u);
  ASSERT_TRUE(SetLocalDesired(R"({"b":null,"c":3})", &record).ok());
  EXPECT_EQ(record.local_desired(), R"({"a":1,"c":3})");
  const auto conflicts = TakeHubDocument(R"({"desired":{"a":7,"$version":1},"reported":{}})", kNow, &record);
  EXPECT_THAT(*conflicts, ElementsAre("a"));
  EXPECT_EQ(ClientDocument(record), R"({"desired":{"$version":3,"a":7,"c":3},"reported":{"$version":0}})");
}

TEST(TwinRecordTest, TheClientsVersionIsTheHubsWhileNothingIsLocal) {
  TwinRecord record = Synced(R"({"desired":{"a":0,"$version":4},"reported":{}})");
  Conflicts conflicts;
  for (uint64_t version = 5; version < 20; ++version) {
    const uint64_t value = version / 2;  // what changes nothing, too
    ASSERT_TRUE(TakeHubPatch(fmt::format(R"({{"a":{},"$version":{}}})", value, version), &conflicts, &record).ok());
    EXPECT_EQ(record.client_version(), version);
  }
  EXPECT_THAT(conflicts, IsEmpty());
}

TEST(TwinRecordTest, AChangeIsWhatTheClientHasNotSeen) {
  TwinRecord before = Synced(R"({"desired":{"a":0,"b":{"x":1},"$version":4},"reported":{}})");
  EXPECT_EQ(DesiredChange(before, before), std::nullopt);
  TwinRecord after = before;
  ASSERT_TRUE(ReportProperties(R"({"r":1})", &after).ok());
  EXPECT_EQ(DesiredChange(before, after), std::nullopt);
  ASSERT_TRUE(SetLocalDesired(R"({"a":null,"b":{"y":2}})", &after).ok());
  EXPECT_THAT(DesiredChange(before, after), Optional(StrEq(R"({"$version":5,"a":null,"b":{"y":2}})")));
  EXPECT_THAT(DesiredChange(TwinRecord(), before), Optional(StrEq(R"({"$version":4,"a":0,"b":{"x":1}})")));
}

}  // namespace
}  // namespace holdfast::twin
