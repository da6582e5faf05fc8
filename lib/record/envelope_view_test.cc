#include "lib/record/envelope_view.h"

#include <gtest/gtest.h>

#include "holdfast/message/v1/message.pb.h"

namespace holdfast {
namespace {

TEST(EnvelopeViewTest, ReadsWhatTheGeneratedClassWrites) {
  message::v1::Envelope envelope;
  envelope.set_kind(message::v1::Envelope::KIND_CLOUD_TO_DEVICE);
  envelope.set_device_id("dev1");
  envelope.set_module_id("mod1");
  envelope.set_property_bag("a=b");
  envelope.set_body(std::string(70'000, '\xff'));
  envelope.set_received_unix_ms(1'700'000'000'123);
  envelope.set_retain(true);
  envelope.set_packet_id(65'535);
  envelope.set_input_name("in1");
  envelope.set_hops(300);
  const std::string bytes = envelope.SerializeAsString();
  EnvelopeView view;
  ASSERT_TRUE(ParseEnvelope(bytes, &view));
  EXPECT_EQ(view.kind, 2u);
  EXPECT_EQ(view.device_id, "dev1");
  EXPECT_EQ(view.module_id, "mod1");
  EXPECT_EQ(view.property_bag, "a=b");
  EXPECT_EQ(view.body, envelope.body());
  EXPECT_EQ(view.received_unix_ms, 1'700'000'000'123);
  EXPECT_TRUE(view.retain);
  EXPECT_EQ(view.input_name, "in1");
  EXPECT_EQ(view.hops, 300u);
}

TEST(EnvelopeViewTest, EmptyIsAnEnvelopeOfNobody) {
  EnvelopeView view{.device_id = "before"};
  EXPECT_TRUE(ParseEnvelope("", &view));
  EXPECT_EQ(view.device_id, "");
}

TEST(EnvelopeViewTest, UnknownFieldsAreSkippedAndTornOnesRefused) {
  EnvelopeView view;
  // Field 100 of each wire type that there is, then the device.
  EXPECT_TRUE(
      ParseEnvelope("\xa0\x06\x01\xa2\x06\x02xx\xa5\x06xxxx\xa1\x06xxxxxxxx\x12\x01"
                    "d",
                    &view));
  EXPECT_EQ(view.device_id, "d");
  EXPECT_FALSE(
      ParseEnvelope("\x12\x05"
                    "d",
                    &view));
  EXPECT_FALSE(ParseEnvelope("\x12", &view));
  EXPECT_FALSE(ParseEnvelope("\x13", &view)) << "a group";
}

}  // namespace
}  // namespace holdfast
