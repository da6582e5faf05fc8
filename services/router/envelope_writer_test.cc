#include "services/router/envelope_writer.h"

#include <gtest/gtest.h>

#include "holdfast/message/v1/message.pb.h"

namespace holdfast::router {
namespace {

using message::v1::Envelope;

Envelope Parsed(const Identity& sender, const EnvelopeFields& fields) {
  const EnvelopeWriter writer(sender);
  std::string bytes(writer.Size(fields), '\0');
  writer.Write(fields, bytes.data());
  Envelope envelope;
  EXPECT_TRUE(envelope.ParseFromString(bytes));
  EXPECT_EQ(envelope.SerializeAsString(), bytes) << "not what the generated code would write";
  return envelope;
}

TEST(EnvelopeWriterTest, TelemetryOfADevice) {
  const Envelope e =
      Parsed({"dev1", ""}, {.property_bag = "a=b", .body = "hello", .received_unix_ms = 1'700'000'000'123});
  EXPECT_EQ(e.kind(), Envelope::KIND_TELEMETRY);
  EXPECT_EQ(e.device_id(), "dev1");
  EXPECT_EQ(e.module_id(), "");
  EXPECT_EQ(e.property_bag(), "a=b");
  EXPECT_EQ(e.body(), "hello");
  EXPECT_EQ(e.received_unix_ms(), 1'700'000'000'123);
  EXPECT_FALSE(e.retain());
}

TEST(EnvelopeWriterTest, WillOfAModuleWithEverything) {
  const std::string body(70'000, '\xff');
  const Envelope e = Parsed({"dev1", "mod1"}, {.kind = EnvelopeKind::kWill,
                                               .property_bag = "k",
                                               .body = body,
                                               .received_unix_ms = 1,
                                               .retain = true,
                                               .packet_id = 65'535});
  EXPECT_EQ(e.kind(), Envelope::KIND_WILL);
  EXPECT_EQ(e.module_id(), "mod1");
  EXPECT_EQ(e.body(), body);
  EXPECT_TRUE(e.retain());
  EXPECT_EQ(e.packet_id(), 65'535u);
}

TEST(EnvelopeWriterTest, EmptyBodyAndABootIn1970) {
  EXPECT_EQ(Parsed({"d", ""}, {}).body(), "");
  EXPECT_EQ(Parsed({"d", ""}, {.received_unix_ms = -5}).received_unix_ms(), -5);
}

TEST(EnvelopeWriterTest, OnBehalfOfItsSender) {
  const EnvelopeWriter writer({"dev1", "mod1"}, /*on_behalf=*/true);
  const EnvelopeFields fields{.property_bag = "hf-id=x", .body = "hello", .packet_id = 3};
  std::string bytes(writer.Size(fields), '\0');
  writer.Write(fields, bytes.data());
  Envelope e;
  ASSERT_TRUE(e.ParseFromString(bytes));
  EXPECT_TRUE(e.on_behalf());
  EXPECT_EQ(e.module_id(), "mod1");
  EXPECT_EQ(e.body(), "hello");
  EXPECT_EQ(e.packet_id(), 3u);
  EXPECT_FALSE(Parsed({"dev1", ""}, {}).on_behalf());
}

}  // namespace
}  // namespace holdfast::router
