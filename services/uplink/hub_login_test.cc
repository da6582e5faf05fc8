#include "services/uplink/hub_login.h"

#include <gtest/gtest.h>

#include "lib/iothub/user_name.h"

namespace holdfast::uplink {
namespace {

const GatewayIdentity kGateway{"hub.example", "edge1"};

TEST(HubLoginTest, GatewaySpeaksForItself) {
  const Login login = GatewayLogin(kGateway, "1.2");
  EXPECT_EQ(login.client_id, "edge1/$edgeHub");
  EXPECT_EQ(login.user_name, "hub.example/edge1/$edgeHub/?api-version=2021-04-12&DeviceClientType=holdfast%2F1.2");
}

TEST(HubLoginTest, ChildIsSpokenFor) {
  const Login device = ChildLogin(kGateway, "press-1", "", {.version = "1.2"});
  EXPECT_EQ(device.client_id, "press-1");
  EXPECT_EQ(device.user_name,
            "hub.example/press-1/?api-version=2021-04-12&DeviceClientType=holdfast%2F1.2&auth-chain=press-1;edge1");
  const Login module = ChildLogin(kGateway, "press-1/temp", "", {.version = "1.2"});
  EXPECT_EQ(module.client_id, "press-1/temp");
  EXPECT_TRUE(module.user_name.ends_with("&auth-chain=press-1/temp;press-1;edge1")) << module.user_name;
}

// What the client said of itself, the hub is told.
TEST(HubLoginTest, ClientTypeAndModelAreTheClientsOwn) {
  const Login login = ChildLogin(
      kGateway, "press-1", "",
      {.version = "1.2", .client_type = "azure-iot-device/1.17 (node v20)", .model_id = "dtmi:com:example:Press;1"});
  const auto parsed = iothub::ParseUserName(login.user_name);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->client_type, "azure-iot-device/1.17 (node v20)");
  EXPECT_EQ(parsed->model_id, "dtmi:com:example:Press;1");
  EXPECT_EQ(parsed->auth_chain, "press-1;edge1");
}

TEST(HubLoginTest, ChainNamesTheGatewaysBetweenOnce) {
  EXPECT_EQ(AuthChain(kGateway, "leaf", "edge3;edge2"), "leaf;edge3;edge2;edge1");
  EXPECT_EQ(AuthChain(kGateway, "leaf/m", "edge2"), "leaf/m;leaf;edge2;edge1");
  EXPECT_EQ(AuthChain(kGateway, "edge1/m", ""), "edge1/m;edge1") << "a module of the gateway's own device";
  EXPECT_EQ(AuthChain(kGateway, "edge1", ""), "edge1");
}

// Whatever an id is made of, the other end reads the same.
TEST(HubLoginTest, OddIdsArriveAsTheyAre) {
  const std::string odd = "a.b+c%_#*?!(),:=@$'-";
  const auto parsed = iothub::ParseUserName(ChildLogin(kGateway, odd, "", {.version = "1"}).user_name);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->identity.device_id, odd);
  EXPECT_EQ(parsed->auth_chain, odd + ";edge1");
  EXPECT_EQ(parsed->client_type, "holdfast/1");
}

}  // namespace
}  // namespace holdfast::uplink
