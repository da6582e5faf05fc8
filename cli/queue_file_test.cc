#include "cli/queue_file.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace holdfast::cli {
namespace {

using message::v1::Envelope;
using nlohmann::json;
using ::testing::HasSubstr;

Envelope Sample() {
  Envelope e;
  e.set_device_id("dev1");
  e.set_module_id("mod1");
  e.set_property_bag("t=2%205&flag&empty=&%24.ct=text%2Fplain");
  e.set_body(std::string("\x00\xff it is", 8));
  e.set_received_unix_ms(1'764'000'000'123);
  e.set_packet_id(77);
  e.set_hops(2);
  e.set_input_name("in");
  return e;
}

store::v1::PeekedRecord Record(const Envelope& envelope, uint64_t sequence = 6) {
  store::v1::PeekedRecord record;
  record.set_sequence(sequence);
  record.set_priority(2'000'000'000);
  record.set_record(envelope.SerializeAsString());
  record.mutable_appended_at()->set_seconds(1'764'000'000);
  return record;
}

constexpr char kIncarnation[] = "ca9c5a14d90c903d";

json LineOf(const Envelope& envelope) {
  return json::parse(WriteLine(*ToQueueFileMessage(Record(envelope), kIncarnation)));
}

std::string Refused(const json& line) {
  const auto read = ReadLine(line.dump());
  return read.ok() ? "it is taken" : std::string(read.status().message());
}

TEST(QueueFileTest, WhatIsWrittenIsReadAsTheSame) {
  const auto message = ToQueueFileMessage(Record(Sample()), kIncarnation);
  ASSERT_TRUE(message.ok()) << message.status();
  const std::string text = WriteLine(*message);
  EXPECT_EQ(text.back(), '\n');
  const auto line = ReadLine(std::string_view(text).substr(0, text.size() - 1));
  ASSERT_TRUE(line.ok()) << line.status();
  const auto& read = std::get<QueueFileMessage>(*line);
  Envelope expected = Sample();
  expected.clear_packet_id();  // means nothing elsewhere
  EXPECT_EQ(read.envelope.SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(read.sequence, 6u);
  EXPECT_EQ(read.id, "ca9c5a14d90c903d-6");
  EXPECT_EQ(read.priority, 2'000'000'000u);
  EXPECT_EQ(read.appended_at, message->appended_at);
}

TEST(QueueFileTest, LineIsReadableByOthers) {
  const json line = LineOf(Sample());
  EXPECT_EQ(line.at("properties"), json({{"t", "2 5"}, {"flag", nullptr}, {"empty", ""}}));
  EXPECT_EQ(line.at("system_properties"), json({{"$.ct", "text/plain"}}));
  EXPECT_EQ(line.at("body"), "AP8gaXQgaXM=");
  EXPECT_EQ(line.at("kind"), "telemetry");
  EXPECT_FALSE(line.contains("packet_id"));
}

TEST(QueueFileTest, HeaderAndEnd) {
  const QueueFileHeader header{.id = "0123456789abcdef",
                               .queue = "upstream",
                               .incarnation = kIncarnation,
                               .exported_at = absl::FromUnixSeconds(1'764'000'000)};
  const auto read = ReadLine(WriteLine(header));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::get<QueueFileHeader>(*read).queue, "upstream");
  EXPECT_EQ(std::get<QueueFileHeader>(*read).exported_at, header.exported_at);
  EXPECT_EQ(std::get<QueueFileEnd>(*ReadLine(WriteLine(QueueFileEnd{3}))).messages, 3u);
  json other = json::parse(WriteLine(header));
  other["holdfast_export"] = 2;
  EXPECT_THAT(Refused(other), HasSubstr("version 2"));
}

// P7: what it has lived it has lived; what follows the queue's setting follows another queue's later.
TEST(QueueFileTest, TimeToLiveIsWhatIsLeftOfIt) {
  store::v1::PeekedRecord record = Record(Sample());
  record.mutable_age()->set_seconds(40);
  for (const auto& [ttl, left] : std::map<int, int>{{100, 60}, {40, 1}, {0, 0}, {-1, -1}}) {
    record.set_ttl_seconds(ttl);
    EXPECT_EQ(ToQueueFileMessage(record, kIncarnation)->ttl_seconds, left) << ttl;
  }
}

TEST(QueueFileTest, RefusesWithTheReason) {
  const json good = LineOf(Sample());
  ASSERT_EQ(Refused(good), "it is taken");
  const auto with = [&](const char* name, const json& value) {
    json line = good;
    line[name] = value;
    return Refused(line);
  };
  EXPECT_THAT(Refused(json::array()), HasSubstr("no JSON object"));
  EXPECT_THAT(std::string(ReadLine("{\"a\":").status().message()), HasSubstr("no JSON object"));
  EXPECT_THAT(with("body", "not base64!"), HasSubstr("body must be base64"));
  EXPECT_THAT(with("bdy", ""), HasSubstr("\"bdy\" is no member"));
  EXPECT_THAT(with("device_id", ""), HasSubstr("device_id must be there"));
  EXPECT_THAT(with("device_id", "a/b"), HasSubstr("device_id must be a device's id"));
  EXPECT_THAT(with("property_bag", "a=%"), HasSubstr("property_bag: "));
  EXPECT_THAT(with("properties", {{"t", "26"}}), HasSubstr("property_bag counts"));
  EXPECT_THAT(with("priority", 10), HasSubstr("priority must be"));
  EXPECT_THAT(with("ttl_seconds", -2), HasSubstr("ttl_seconds must be a whole number"));
  EXPECT_THAT(with("sequence", 0), HasSubstr("sequence must be"));
  EXPECT_THAT(with("sequence", UINT64_MAX), HasSubstr("sequence must be"));
  EXPECT_THAT(with("received_at", "yesterday"), HasSubstr("received_at must be a time"));
  EXPECT_THAT(with("kind", "rumour"), HasSubstr("kind must be"));
  EXPECT_THAT(with("hops", true), HasSubstr("hops must be"));
  json missing = good;
  missing.erase("body");
  EXPECT_THAT(Refused(missing), HasSubstr("body must be there"));
}

TEST(QueueFileTest, WhatIsNoMessageIsNotWrittenAsOne) {
  store::v1::PeekedRecord record;
  record.set_record("\xff\xff");
  EXPECT_FALSE(ToQueueFileMessage(record, kIncarnation).ok());
  Envelope e = Sample();
  e.set_property_bag("a=%ff");
  EXPECT_FALSE(ToQueueFileMessage(Record(e), kIncarnation).ok());
}

// P3: the hub sees the same id, however often the message moves to another queue.
TEST(QueueFileTest, IdStaysWithTheMessage) {
  Envelope e = Sample();
  e.set_property_bag("a=1&hf-id=mine");
  KeepId("ca9c5a14d90c903d-6", &e);
  EXPECT_EQ(e.property_bag(), "a=1&hf-id=ca9c5a14d90c903d-6");
  EXPECT_TRUE(e.on_behalf());
  EXPECT_EQ(ToQueueFileMessage(Record(e, 99), "0000000000000001")->id, "ca9c5a14d90c903d-6");
  KeepId("0000000000000001-99", &e);
  EXPECT_EQ(e.property_bag(), "a=1&hf-id=ca9c5a14d90c903d-6");
  e.clear_property_bag();
  e.set_on_behalf(false);
  KeepId("x y", &e);
  EXPECT_EQ(e.property_bag(), "hf-id=x%20y");
}

}  // namespace
}  // namespace holdfast::cli
