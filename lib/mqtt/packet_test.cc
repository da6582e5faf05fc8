#include "lib/mqtt/packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/mqtt/packet_id.h"

namespace holdfast::mqtt {
namespace {

using std::string_literals::operator""s;

constexpr size_t kLimit = 256 << 10;

Frame FrameOf(const std::string& packet) {
  const ScanResult scan = ScanFrame(packet, kPacketBytesMax);
  EXPECT_EQ(scan.state, ScanResult::kPacket) << Text(scan.error);
  EXPECT_EQ(scan.frame.size, packet.size());
  return scan.frame;
}

Error ScanError(const std::string& bytes, size_t limit = kLimit) {
  const ScanResult scan = ScanFrame(bytes, limit);
  EXPECT_EQ(scan.state, ScanResult::kError);
  return scan.error;
}

TEST(ScanFrame, WaitsForTheWholePacket) {
  std::string packet;
  ASSERT_EQ(AppendPublish({.topic = "t", .payload = std::string(200, 'x')}, &packet), Error::kOk);
  for (size_t n = 0; n < packet.size(); ++n) {
    EXPECT_EQ(ScanFrame({packet.data(), n}, kLimit).state, ScanResult::kNeedMore) << n;
  }
  EXPECT_EQ(ScanFrame({packet.data(), 3}, kLimit).packet_size, packet.size());
  EXPECT_EQ(ScanFrame(packet + "more", kLimit).frame.size, packet.size());
}

TEST(ScanFrame, RefusesBadHeadersOnTheFirstByte) {
  EXPECT_EQ(ScanError("\x00"s), Error::kReservedType);
  EXPECT_EQ(ScanError("\xf0"), Error::kReservedType);
  EXPECT_EQ(ScanError("\x11"), Error::kReservedFlags);
  EXPECT_EQ(ScanError("\x80"), Error::kReservedFlags);  // SUBSCRIBE needs 0010
  EXPECT_EQ(ScanError("\xa0"), Error::kReservedFlags);
  EXPECT_EQ(ScanError("\x60"), Error::kReservedFlags);
  EXPECT_EQ(ScanError("\x41"), Error::kReservedFlags);
  EXPECT_EQ(ScanError("\x36"), Error::kQos3);
  EXPECT_EQ(ScanError("\x38"), Error::kDupWithQos0);
}

TEST(ScanFrame, RemainingLength) {
  EXPECT_EQ(ScanError("\x30\x80\x80\x80\x80\x01"), Error::kRemainingLength);
  EXPECT_EQ(ScanFrame("\x30\xff\xff\xff\x7f", kPacketBytesMax).packet_size, kPacketBytesMax);
  EXPECT_EQ(ScanFrame("\x30\xff\xff\xff", kLimit).state, ScanResult::kNeedMore);
  // P12: too large is known before the body arrives.
  EXPECT_EQ(ScanError("\x30\x80\x80\x20"), Error::kTooLarge);
  EXPECT_EQ(ScanFrame(std::string(1, 0x30) + "\x62" + std::string(98, 'x'), 100).state, ScanResult::kPacket);
  EXPECT_EQ(ScanError(std::string(1, 0x30) + "\x63" + std::string(99, 'x'), 100), Error::kTooLarge);
}

TEST(Connect, RoundTripWithEverything) {
  const std::string message = "\0gone"s;
  Connect in;
  in.client_id = "dev1";
  in.keep_alive_seconds = 0x1234;
  in.clean_session = false;
  in.has_will = in.has_user_name = in.has_password = true;
  in.will = {.topic = "devices/dev1/messages/events/", .message = message, .qos = 1, .retain = true};
  in.user_name = "hub/dev1/?api-version=2021-04-12";
  in.password = "SharedAccessSignature sr=…";
  std::string packet;
  ASSERT_EQ(AppendConnect(in, &packet), Error::kOk);
  Connect out;
  ASSERT_EQ(DecodeConnect(FrameOf(packet), &out), Error::kOk);
  EXPECT_EQ(out.client_id, in.client_id);
  EXPECT_EQ(out.keep_alive_seconds, 0x1234);
  EXPECT_FALSE(out.clean_session);
  EXPECT_TRUE(out.has_will);
  EXPECT_EQ(out.will.topic, in.will.topic);
  EXPECT_EQ(out.will.message, in.will.message);
  EXPECT_EQ(out.will.qos, 1);
  EXPECT_TRUE(out.will.retain);
  EXPECT_EQ(out.user_name, in.user_name);
  EXPECT_EQ(out.password, in.password);
}

// A CONNECT with these flags and payload.
std::string ConnectBytes(uint8_t flags, const std::string& payload, const std::string& name = "\0\4MQTT\4"s) {
  const std::string body = name + static_cast<char>(flags) + "\0\x3c"s + payload;
  return "\x10"s + static_cast<char>(body.size()) + body;
}

Error ConnectError(const std::string& packet) {
  Connect out;
  return DecodeConnect(FrameOf(packet), &out);
}

TEST(Connect, Malformed) {
  EXPECT_EQ(ConnectError(ConnectBytes(2, "\0\1a"s)), Error::kOk);
  EXPECT_EQ(ConnectError(ConnectBytes(2, "\0\0"s)), Error::kOk);
  EXPECT_EQ(ConnectError(ConnectBytes(3, "\0\1a"s)), Error::kConnectReservedFlag);
  EXPECT_EQ(ConnectError(ConnectBytes(0x0a, "\0\1a"s)), Error::kWillFlags);
  EXPECT_EQ(ConnectError(ConnectBytes(0x22, "\0\1a"s)), Error::kWillFlags);
  EXPECT_EQ(ConnectError(ConnectBytes(0x1e, "\0\1a\0\1t\0\1m"s)), Error::kWillQos);
  EXPECT_EQ(ConnectError(ConnectBytes(0x42, "\0\1a\0\1p"s)), Error::kPasswordWithoutUser);
  EXPECT_EQ(ConnectError(ConnectBytes(0x06, "\0\1a\0\1#\0\1m"s)), Error::kTopicName);
  EXPECT_EQ(ConnectError(ConnectBytes(0x82, "\0\1a"s)), Error::kTruncated);
  EXPECT_EQ(ConnectError(ConnectBytes(0x02, "\0\1ax"s)), Error::kTrailingBytes);
  EXPECT_EQ(ConnectError(ConnectBytes(0x02, "\0\1\xff"s)), Error::kInvalidUtf8);
  EXPECT_EQ(ConnectError(ConnectBytes(0x02, "\0\1\0"s)), Error::kNullCharacter);
  EXPECT_EQ(ConnectError(ConnectBytes(2, "\0\1a"s, "\0\4MQTX\4"s)), Error::kProtocolName);
  EXPECT_EQ(ConnectError(ConnectBytes(2, "\0\1a"s, "\0\4MQTT\5"s)), Error::kProtocolLevel);
  EXPECT_EQ(ConnectError(ConnectBytes(2, "\0\1a"s, "\0\6MQIsdp\3"s)), Error::kProtocolLevel);
}

TEST(Connack, RoundTripAndMalformed) {
  std::string packet;
  AppendConnack({.session_present = true}, &packet);
  EXPECT_EQ(packet, "\x20\x02\x01\x00"s);
  Connack out;
  ASSERT_EQ(DecodeConnack(FrameOf(packet), &out), Error::kOk);
  EXPECT_TRUE(out.session_present);
  packet.clear();
  AppendConnack({true, ConnackCode::kNotAuthorized}, &packet);
  EXPECT_EQ(packet, "\x20\x02\x00\x05"s);  // 3.2.2-4
  EXPECT_EQ(DecodeConnack(FrameOf("\x20\x02\x02\x00"s), &out), Error::kConnackFlags);
  EXPECT_EQ(DecodeConnack(FrameOf("\x20\x02\x00\x06"s), &out), Error::kConnackCode);
  EXPECT_EQ(DecodeConnack(FrameOf("\x20\x02\x01\x05"s), &out), Error::kConnackFlags);
  EXPECT_EQ(DecodeConnack(FrameOf("\x20\x03\x00\x00\x00"s), &out), Error::kTrailingBytes);
}

TEST(Publish, RoundTrip) {
  std::string packet;
  ASSERT_EQ(AppendPublish({.topic = "a/b", .payload = "hi", .packet_id = 0x0102, .qos = 1, .dup = true, .retain = true},
                          &packet),
            Error::kOk);
  EXPECT_EQ(packet,
            "\x3b\x09\x00\x03"
            "a/b\x01\x02hi"s);
  EXPECT_EQ(packet.size(), PublishSize(1, 3, 2));
  Publish out;
  ASSERT_EQ(DecodePublish(FrameOf(packet), &out), Error::kOk);
  EXPECT_EQ(out.topic, "a/b");
  EXPECT_EQ(out.payload, "hi");
  EXPECT_EQ(out.packet_id, 0x0102);
  EXPECT_TRUE(out.dup);
  EXPECT_TRUE(out.retain);
}

TEST(Publish, LengthsAtTheirBounds) {
  for (const size_t remaining : {127u, 128u, 16'383u, 16'384u, 2'097'151u, 2'097'152u}) {
    const std::string payload(remaining - 3, 'p');
    std::string packet;
    ASSERT_EQ(AppendPublish({.topic = "t", .payload = payload}, &packet), Error::kOk);
    EXPECT_EQ(packet.size(), PublishSize(0, 1, payload.size()));
    Publish out;
    ASSERT_EQ(DecodePublish(FrameOf(packet), &out), Error::kOk);
    EXPECT_EQ(out.payload.size(), payload.size());
  }
}

TEST(Publish, Malformed) {
  const auto error = [](const std::string& packet) {
    Publish out;
    return DecodePublish(FrameOf(packet), &out);
  };
  EXPECT_EQ(error("\x30\x02\x00\x00"s), Error::kTopicName);
  EXPECT_EQ(error("\x30\x03\x00\x01#"s), Error::kTopicName);
  EXPECT_EQ(error("\x30\x03\x00\x01+"s), Error::kTopicName);
  EXPECT_EQ(error("\x30\x0c\x00\x0alonglong+x"s), Error::kTopicName);
  EXPECT_EQ(error("\x32\x05\x00\x01t\x00\x00"s), Error::kPacketIdZero);
  EXPECT_EQ(error("\x32\x04\x00\x01t\x01"s), Error::kTruncated);
  EXPECT_EQ(error("\x30\x03\x00\x02t"s), Error::kTruncated);
  EXPECT_EQ(error("\x30\x01\x00"s), Error::kTruncated);
  EXPECT_EQ(error("\x30\x04\x00\x02\xc3("s), Error::kInvalidUtf8);
  EXPECT_EQ(error("\x30\x0c\x00\x0alonglong\0x"s), Error::kNullCharacter);
}

TEST(Publish, EncoderRefusesWhatTheDecoderWould) {
  std::string out;
  EXPECT_EQ(AppendPublish({.topic = ""}, &out), Error::kTopicName);
  EXPECT_EQ(AppendPublish({.topic = "a/+"}, &out), Error::kTopicName);
  EXPECT_EQ(AppendPublish({.topic = "t", .qos = 1}, &out), Error::kPacketIdZero);
  EXPECT_EQ(AppendPublish({.topic = "t", .packet_id = 1, .qos = 3}, &out), Error::kQos3);
  EXPECT_EQ(AppendPublish({.topic = std::string(65'536, 't')}, &out), Error::kStringTooLong);
  EXPECT_EQ(out, "");
}

TEST(SetDup, SetsTheFlagInPlace) {
  std::string packet;
  ASSERT_EQ(AppendPublish({.topic = "t", .packet_id = 7, .qos = 1}, &packet), Error::kOk);
  SetDup(packet.data());
  Publish out;
  ASSERT_EQ(DecodePublish(FrameOf(packet), &out), Error::kOk);
  EXPECT_TRUE(out.dup);
}

TEST(Subscribe, RoundTripAndMalformed) {
  std::string packet;
  ASSERT_EQ(AppendSubscribe(9, {{"a/#", 1}, {"+/b", 0}}, &packet), Error::kOk);
  Subscribe out;
  ASSERT_EQ(DecodeSubscribe(FrameOf(packet), &out), Error::kOk);
  EXPECT_EQ(out.packet_id, 9);
  ASSERT_EQ(out.subscriptions.size(), 2u);
  EXPECT_EQ(out.subscriptions[0].filter, "a/#");
  EXPECT_EQ(out.subscriptions[0].qos, 1);
  EXPECT_EQ(DecodeSubscribe(FrameOf("\x82\x02\x00\x01"s), &out), Error::kNoFilters);
  EXPECT_EQ(DecodeSubscribe(FrameOf("\x82\x06\x00\x00\x00\x01t\x00"s), &out), Error::kPacketIdZero);
  EXPECT_EQ(DecodeSubscribe(FrameOf("\x82\x06\x00\x01\x00\x01t\x03"s), &out), Error::kRequestedQos);
  EXPECT_EQ(DecodeSubscribe(FrameOf("\x82\x05\x00\x01\x00\x00\x01"s), &out), Error::kTopicFilter);
  EXPECT_EQ(DecodeSubscribe(FrameOf("\x82\x05\x00\x01\x00\x01t"s), &out), Error::kTruncated);
}

TEST(Unsubscribe, RoundTripAndMalformed) {
  std::string packet;
  ASSERT_EQ(AppendUnsubscribe(3, {"a/#", "b"}, &packet), Error::kOk);
  Unsubscribe out;
  ASSERT_EQ(DecodeUnsubscribe(FrameOf(packet), &out), Error::kOk);
  EXPECT_THAT(out.filters, testing::ElementsAre("a/#", "b"));
  EXPECT_EQ(DecodeUnsubscribe(FrameOf("\xa2\x02\x00\x01"s), &out), Error::kNoFilters);
}

TEST(Suback, RoundTripAndMalformed) {
  std::string packet;
  AppendSuback(5, "\x01\x80"s, &packet);
  Suback out;
  ASSERT_EQ(DecodeSuback(FrameOf(packet), &out), Error::kOk);
  EXPECT_EQ(out.packet_id, 5);
  EXPECT_EQ(out.codes, "\x01\x80"s);
  EXPECT_EQ(DecodeSuback(FrameOf("\x90\x03\x00\x01\x03"s), &out), Error::kSubackCode);
  EXPECT_EQ(DecodeSuback(FrameOf("\x90\x02\x00\x01"s), &out), Error::kTruncated);
}

TEST(SmallPackets, Bytes) {
  std::string out;
  AppendPuback(0x0102, &out);
  EXPECT_EQ(out, "\x40\x02\x01\x02"s);
  out.clear();
  AppendPubrec(1, &out), AppendPubrel(1, &out), AppendPubcomp(1, &out), AppendUnsuback(1, &out);
  EXPECT_EQ(out, "\x50\x02\x00\x01\x62\x02\x00\x01\x70\x02\x00\x01\xb0\x02\x00\x01"s);
  out.clear();
  AppendPingreq(&out), AppendPingresp(&out), AppendDisconnect(&out);
  EXPECT_EQ(out, "\xc0\x00\xd0\x00\xe0\x00"s);
  uint16_t id = 0;
  EXPECT_EQ(DecodePacketId(FrameOf("\x40\x02\x01\x02"s), &id), Error::kOk);
  EXPECT_EQ(id, 0x0102);
  EXPECT_EQ(DecodePacketId(FrameOf("\x40\x02\x00\x00"s), &id), Error::kPacketIdZero);
  EXPECT_EQ(DecodePacketId(FrameOf("\x40\x03\x00\x01\x00"s), &id), Error::kTrailingBytes);
  EXPECT_EQ(DecodeEmpty(FrameOf("\xc0\x01\x00"s)), Error::kTrailingBytes);
}

TEST(Utf8, Table37OfUnicode) {
  for (const char* good : {"", "plain ascii text", "ä", "€", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf4\x8f\xbf\xbf", "12345678ä2345678€"}) {
    EXPECT_EQ(CheckUtf8(good), Error::kOk) << good;
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "12345678\xe2\x82"}) {
    EXPECT_EQ(CheckUtf8(bad), Error::kInvalidUtf8) << bad;
  }
  EXPECT_EQ(CheckUtf8("1234567\0"s), Error::kNullCharacter);
}

TEST(PacketId, WrapsAndIsFoundAgain) {
  EXPECT_EQ(PacketIdOf(0), 1);
  EXPECT_EQ(PacketIdOf(65'534), 65'535);
  EXPECT_EQ(PacketIdOf(65'535), 1);
  for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{65'000}, uint64_t{65'534}, uint64_t{1'000'000'007}}) {
    for (uint64_t n = first; n < first + kPacketIds; n += 97) EXPECT_EQ(PacketIndex(PacketIdOf(n), first), n);
  }
}

}  // namespace
}  // namespace holdfast::mqtt
