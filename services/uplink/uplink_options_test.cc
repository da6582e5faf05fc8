#include "services/uplink/uplink_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lib/testing/temp_dir.h"

namespace holdfast::uplink {
namespace {

class UplinkOptionsTest : public testing::Test {
 protected:
  absl::StatusOr<UplinkOptions> Read(const std::string& text) {
    std::ofstream(dir_ / "holdfast.toml") << "[uplink]\n" << text;
    const auto file = ConfigFile::Load(dir_ / "holdfast.toml");
    if (!file.ok()) return file.status();
    GatewayOptions gateway;
    gateway.hostname = "gw7";
    return ReadUplinkOptions(**file, gateway);
  }
  std::string Error(const std::string& text) { return std::string(Read(text).status().message()); }

  TempDir dir_;
};

TEST_F(UplinkOptionsTest, Defaults) {
  const auto options = Read("");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->uplink.link.client.host, "");
  EXPECT_EQ(options->uplink.link.client.client_id, "holdfast-gw7");
  EXPECT_EQ(options->uplink.window.count_max, 4096u);
}

TEST_F(UplinkOptionsTest, Values) {
  std::ofstream(dir_ / "pw") << "secret\n";
  const auto options = Read("upstream = \"mqtt://[2001:db8::1]:2883\"\nusername = \"u\"\npassword_file = \"" +
                            (dir_ / "pw") + "\"\nack_timeout = 3\ninflight_count_max = 7\n");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->uplink.link.client.host, "2001:db8::1");
  EXPECT_EQ(options->uplink.link.client.port, 2883);
  EXPECT_EQ(options->uplink.link.client.password, "secret");
  EXPECT_EQ(options->uplink.link.connectivity.ack_timeout, absl::Seconds(3));
  EXPECT_EQ(options->uplink.window.count_max, 7u);
}

TEST_F(UplinkOptionsTest, WhatIsWrongIsSaid) {
  EXPECT_THAT(Error("inflight_count_max = 40000"), testing::HasSubstr("inflight_count_max"));
  EXPECT_THAT(Error("upstreem = \"x\""), testing::HasSubstr("upstreem"));
  EXPECT_THAT(Error("upstream = \"http://x\""), testing::HasSubstr("mqtt://HOST"));
  EXPECT_THAT(Error("password_file = \"/nowhere\""), testing::HasSubstr("username"));
  EXPECT_THAT(Error("username = \"u\"\npassword_file = \"/nowhere\""), testing::HasSubstr("/nowhere"));
  EXPECT_THAT(Error("upstream = \"mqtts://x\"\nca_file = \"/nowhere.pem\""), testing::HasSubstr("/nowhere.pem"));
  EXPECT_THAT(Error("dns_servers = [\"no address\"]"), testing::HasSubstr("dns_servers"));
  EXPECT_THAT(Error("backoff_min = 30\nbackoff_max = 10"), testing::HasSubstr("backoff_max"));
}

TEST_F(UplinkOptionsTest, IotHub) {
  const auto options = Read("upstream = \"iothub://hub.example\"\nupstream_connections_max = 5");
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_TRUE(options->hub);
  EXPECT_EQ(options->hub->client.port, 8883);
  EXPECT_TRUE(options->hub->client.tls);
  EXPECT_EQ(options->hub->sync.rest.url, "https://hub.example:443");
  EXPECT_EQ(options->hub->plan.connections_max, 4u) << "one is the link's";
  EXPECT_EQ(options->uplink.spread, Window::Spread::kByIdentity);
  const std::string hub = "upstream = \"iothub://h\"\n";
  EXPECT_THAT(Error(hub + "scope_api = \"x\""), testing::HasSubstr("scope_api"));
  EXPECT_THAT(Error(hub + "hub_rest_url = \"ftp://x\""), testing::HasSubstr("hub_rest_url"));
  EXPECT_THAT(Error(hub + "hub_rest_url = \"https://x/path\""), testing::HasSubstr("hub_rest_url"));
  EXPECT_THAT(Error(hub + "hub_rest_url = \"http://x\""), testing::HasSubstr("hub_rest_url"));
  EXPECT_THAT(Error(hub + "username = \"u\""), testing::HasSubstr("kind mqtt"));
  EXPECT_THAT(Error(hub + "gateway_device_id = \"e\""), testing::HasSubstr("client_cert_file"));
  EXPECT_THAT(Error(hub + "token_lifetime = 5"), testing::HasSubstr("token_lifetime"));
}

TEST(ParseUpstreamUrl, Forms) {
  EXPECT_TRUE(ParseUpstreamUrl("iothub://hub")->is_hub);
  EXPECT_FALSE(ParseUpstreamUrl("mqtts://hub")->is_hub);
  EXPECT_EQ(ParseUpstreamUrl("mqtt://hub")->port, 1883);
  EXPECT_EQ(ParseUpstreamUrl("mqtts://hub/")->port, 8883);
  EXPECT_TRUE(ParseUpstreamUrl("mqtts://hub")->tls);
  EXPECT_EQ(ParseUpstreamUrl("mqtt://hub.example:99")->host, "hub.example");
  for (const char* bad : {"hub", "mqtt://", "mqtt://:1883", "mqtt://hub:", "mqtt://hub:0", "mqtt://hub:65536",
                          "mqtt://hub:1x", "mqtt://user@hub", "mqtt://[::1", "mqtt://[::1]x", "mqtt://hub/path"}) {
    EXPECT_FALSE(ParseUpstreamUrl(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace holdfast::uplink
