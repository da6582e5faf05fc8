#include "lib/iothub/user_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::iothub {
namespace {

using ::testing::HasSubstr;

TEST(UserNameTest, DeviceAsSdksWriteIt) {
  auto u = ParseUserName("hub.azure-devices.net/dev1/?api-version=2021-04-12&DeviceClientType=py-azure-iot%2F2.0%20x");
  ASSERT_TRUE(u.ok()) << u.status();
  EXPECT_EQ(u->host, "hub.azure-devices.net");
  EXPECT_EQ(u->identity, (Identity{"dev1", ""}));
  EXPECT_EQ(u->identity.ClientId(), "dev1");
  EXPECT_EQ(u->api_version, "2021-04-12");
  EXPECT_EQ(u->client_type, "py-azure-iot/2.0 x");
}

TEST(UserNameTest, ModuleAndQueryWithoutQuestionMark) {
  auto u = ParseUserName("hub/dev1/mod1/api-version=2019-10-01&model-id=dtmi%3Aa%3Bb%3B1");
  ASSERT_TRUE(u.ok()) << u.status();
  EXPECT_EQ(u->identity, (Identity{"dev1", "mod1"}));
  EXPECT_EQ(u->identity.ClientId(), "dev1/mod1");
  EXPECT_EQ(u->model_id, "dtmi:a;b;1");
}

TEST(UserNameTest, LegacyFormOfSixSegments) {
  auto u = ParseUserName(
      "hub/dev1/mod1/api-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003");
  ASSERT_TRUE(u.ok()) << u.status();
  EXPECT_EQ(u->identity, (Identity{"dev1", "mod1"}));
  EXPECT_EQ(u->client_type, "Microsoft.Azure.Devices.Client/1.5.1-preview-003");
}

TEST(UserNameTest, UnescapedSlashInClientType) {
  auto u = ParseUserName("hub/dev1/?api-version=2021-04-12&DeviceClientType=a/1.0 (x/y)");
  ASSERT_TRUE(u.ok()) << u.status();
  EXPECT_EQ(u->client_type, "a/1.0 (x/y)");
}

TEST(UserNameTest, FirstOfEqualKeysCountsAndUnknownOnesAreIgnored) {
  auto u = ParseUserName("hub/d/?x=1&api-version=a&api-version=b&DeviceClientType=c&DeviceClientType=d");
  ASSERT_TRUE(u.ok()) << u.status();
  EXPECT_EQ(u->api_version, "a");
  EXPECT_EQ(u->client_type, "c");
}

TEST(UserNameTest, RefusedWithASentence) {
  for (const char* bad : {"", "dev1", "hub/dev1", "hub/dev1/", "hub/dev1/mod1", "hub/dev1/mod1/", "hub//?api-version=1",
                          "/dev1/?api-version=1", "hub/dev1//?api-version=1", "hub/dev1/?DeviceClientType=x",
                          "hub/d e/?api-version=1", "hub/dev1/?api-version=%zz", "a/b/c/d/e/f/g/h/i/j/k"}) {
    auto u = ParseUserName(bad);
    ASSERT_FALSE(u.ok()) << bad;
    EXPECT_THAT(std::string(u.status().message()), HasSubstr("expected <hub host>/<device>")) << bad;
  }
  EXPECT_FALSE(ParseUserName("hub/" + std::string(129, 'd') + "/?api-version=1").ok());
  EXPECT_TRUE(ParseUserName("hub/" + std::string(128, 'd') + "/?api-version=1").ok());
}

}  // namespace
}  // namespace holdfast::iothub
