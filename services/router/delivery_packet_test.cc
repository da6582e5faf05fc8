#include "services/router/delivery_packet.h"

#include <gtest/gtest.h>

#include "holdfast/message/v1/message.pb.h"

namespace holdfast::router {
namespace {

std::string Topic(const Identity& receiver, const EnvelopeView& message) {
  std::string topic = "before";
  EXPECT_TRUE(DeliveryTopic(receiver).Build(message, &topic));
  return topic;
}

TEST(DeliveryTopicTest, ModuleInputNamesTheSender) {
  EXPECT_EQ(Topic({"gw", "filter"},
                  {.device_id = "gw", .module_id = "sensor", .property_bag = "a=b&%24.mid=1", .input_name = "in1"}),
            "devices/gw/modules/filter/inputs/in1/a=b&%24.mid=1&%24.cdid=gw&%24.cmid=sensor&hf-hops=1");
  EXPECT_EQ(Topic({"gw", "filter"}, {.device_id = "leaf 1", .input_name = "in1", .hops = 4}),
            "devices/gw/modules/filter/inputs/in1/%24.cdid=leaf%201&hf-hops=5");
}

TEST(DeliveryTopicTest, InboxOfADevice) {
  EXPECT_EQ(Topic({"leaf", ""}, {.device_id = "gw", .module_id = "m", .property_bag = "k"}),
            "devices/leaf/messages/devicebound/k&%24.cdid=gw&%24.cmid=m&"
            "%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&hf-hops=1");
}

TEST(DeliveryTopicTest, HubsMessageIsPassedOnAsItCame) {
  EXPECT_EQ(Topic({"leaf", ""}, {.kind = message::v1::Envelope::KIND_CLOUD_TO_DEVICE,
                                 .property_bag = "%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&a="}),
            "devices/leaf/messages/devicebound/%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&a=");
  EXPECT_EQ(Topic({"leaf", ""}, {}), "devices/leaf/messages/devicebound/");
}

// Who sent it is the gateway's to say, not the sender's.
TEST(DeliveryTopicTest, WhatTheGatewayWritesCantBeForged) {
  EXPECT_EQ(
      Topic({"leaf", ""}, {.device_id = "dev1", .property_bag = "$.cdid=x&%24.cmid=y&x=1&%24%2Eto=z&hf%2Dhops=0"}),
      "devices/leaf/messages/devicebound/x=1&%24.cdid=dev1&"
      "%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&hf-hops=1");
  EXPECT_EQ(Topic({"gw", "m"}, {.kind = message::v1::Envelope::KIND_WILL,
                                .device_id = "dev1",
                                .property_bag = "mqtt-retain=no&iothub-MessageType=x",
                                .retain = true,
                                .input_name = "i"}),
            "devices/gw/modules/m/inputs/i/%24.cdid=dev1&iothub-MessageType=Will&mqtt-retain=true&hf-hops=1");
}

TEST(DeliveryTopicTest, NamesAreOneLevelEach) {
  EXPECT_EQ(Topic({"a+b", "c#d"}, {.device_id = "e/f", .input_name = "+"}),
            "devices/a%2Bb/modules/c%23d/inputs/%2B/%24.cdid=e%2Ff&hf-hops=1");
}

TEST(DeliveryTopicTest, NoTopicForWhatHasNone) {
  std::string topic;
  EXPECT_FALSE(DeliveryTopic({"gw", "m"}).Build({.device_id = "d"}, &topic)) << "no input";
  const std::string bag(65'500, 'k');
  EXPECT_FALSE(DeliveryTopic({"gw", ""}).Build({.device_id = "d", .property_bag = bag}, &topic));
  EXPECT_FALSE(DeliveryTopic({"gw", ""}).Build({.device_id = "d", .property_bag = "\xff"}, &topic));
}

TEST(TakeHopsTest, IsReadAndTakenOut) {
  uint32_t hops = 9;
  std::string rest;
  EXPECT_FALSE(TakeHops("", &hops, &rest));
  EXPECT_FALSE(TakeHops("a=b&hf-hop=3", &hops, &rest));
  EXPECT_TRUE(TakeHops("a=b&hf%2Dhops=3&c", &hops, &rest));
  EXPECT_EQ(hops, 3u);
  EXPECT_EQ(rest, "a=b&c");
  EXPECT_TRUE(TakeHops("hf-hops=x", &hops, &rest));
  EXPECT_EQ(hops, 0u);
  EXPECT_EQ(rest, "");
  EXPECT_TRUE(TakeHops("hf-hops", &hops, &rest));
  EXPECT_EQ(hops, 0u);
}

}  // namespace
}  // namespace holdfast::router
