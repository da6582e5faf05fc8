#include "tests/hubsim/twins.h"

#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

json Desired(const char* text) {
  return {{"properties", {{"desired", json::parse(text)}}}};
}

TEST(TwinsTest, MergesReportedProperties) {
  Twins twins;
  EXPECT_EQ(twins.DeviceDocument("d"), R"({"desired":{"$version":1},"reported":{"$version":1}})");
  EXPECT_EQ(*twins.PatchReported("d", json::parse(R"({"a":{"x":1,"y":2},"b":1})"), kNow), 2);
  EXPECT_EQ(*twins.PatchReported("d", json::parse(R"({"a":{"x":null,"z":[1,{}]},"b":null,"$version":99})"), kNow), 3);
  EXPECT_EQ(json::parse(twins.DeviceDocument("d")).at("reported"),
            json::parse(R"({"a":{"y":2,"z":[1,{}]},"$version":3})"));
}

TEST(TwinsTest, TellsTheDeviceWhatChanged) {
  Twins twins;
  EXPECT_EQ(*twins.Edit("d", Desired(R"({"a":1,"b":null,"$version":7})"), false, kNow),
            json::parse(R"({"a":1,"b":null,"$version":2})"));
  EXPECT_TRUE(twins.Edit("d", {{"tags", {{"t", 1}}}}, false, kNow)->is_null()) << "tags are not the device's";
  EXPECT_EQ(twins.Get("d").desired_version, 2);
  EXPECT_EQ(*twins.Edit("d", Desired(R"({"c":{"d":null,"e":1}})"), true, kNow),
            json::parse(R"({"c":{"e":1},"$version":3})"));
  EXPECT_EQ(twins.Get("d").desired, json::parse(R"({"c":{"e":1}})"));
}

TEST(TwinsTest, EveryEditIsANewEtag) {
  Twins twins;
  const std::string before = twins.Get("d").Etag();
  ASSERT_TRUE(twins.Edit("d", {{"tags", {{"t", 1}}}}, false, kNow).ok());
  EXPECT_NE(twins.Get("d").Etag(), before);
}

TEST(TwinsTest, RefusesWhatBreaksALimitAndChangesNothing) {
  Twins twins;
  json deep = 1;
  for (size_t i = 0; i < kTwinDepthMax; ++i) deep = json{{"k", deep}};
  EXPECT_TRUE(twins.PatchReported("ok", deep, kNow).ok());
  deep = json{{"k", deep}};
  const json bad[] = {deep,
                      json::array(),
                      json(5),
                      {{"a b", 1}},
                      {{"a.b", 1}},
                      {{"a", {{"$b", 1}}}},
                      {{"a#", 1}},
                      {{"", 1}},
                      {{std::string(kTwinKeyBytesMax + 1, 'k'), 1}},
                      {{"a", std::string(kTwinTextBytesMax + 1, 'x')}},
                      {{"a", json::array({1, nullptr})}},
                      {{"a", int64_t{1} << 53}},
                      {{"a", -(int64_t{1} << 53)}},
                      {{"a", UINT64_MAX}}};
  for (const json& patch : bad) {
    EXPECT_TRUE(absl::IsInvalidArgument(twins.PatchReported("d", patch, kNow).status())) << patch.dump().substr(0, 100);
  }
  EXPECT_EQ(twins.Get("d").reported_version, 1);
  json large = json::object();
  for (int i = 0; i < 9; ++i) large[std::string(1, static_cast<char>('a' + i))] = std::string(kTwinTextBytesMax, 'x');
  EXPECT_FALSE(twins.PatchReported("d", large, kNow).ok());
  EXPECT_FALSE(twins.Edit("d", {{"tags", {{"a", 1}}}, {"properties", {{"desired", large}}}}, false, kNow).ok());
  EXPECT_TRUE(twins.Get("d").tags.empty()) << "not the half of it";
}

TEST(TwinsTest, LoadsWhatItSaves) {
  Twins first;
  ASSERT_TRUE(first.PatchReported("d/m", {{"a", 1}}, kNow).ok());
  ASSERT_TRUE(first.Edit("d", Desired(R"({"b":2})"), false, kNow).ok());
  Twins second;
  ASSERT_TRUE(second.Load(first.Save()).ok());
  EXPECT_EQ(second.Save(), first.Save());
  for (const char* text :
       {"[]", R"({"d":1})", R"({"d":{"desired":[]}})", R"({"d":{"version":"1"}})", R"({"d":{"reported":{"a b":1}}})"}) {
    EXPECT_FALSE(Twins().Load(json::parse(text)).ok()) << text;
  }
}

TEST(TwinsTest, ARemovedIdentityStartsAnew) {
  Twins twins;
  ASSERT_TRUE(twins.PatchReported("d", {{"a", 1}}, kNow).ok());
  ASSERT_TRUE(twins.PatchReported("e", {{"a", 1}}, kNow).ok());
  twins.RemoveIf([](std::string_view id) { return id == "d"; });
  EXPECT_EQ(twins.Get("d").reported_version, 1);
  EXPECT_EQ(twins.Get("e").reported_version, 2);
}

}  // namespace
}  // namespace holdfast::hubsim
