#include "services/uplink/hub_exchange.h"

#include "holdfast/message/v1/message.pb.h"
#include "lib/mqtt/property_bag.h"
#include "services/uplink/hub_exchange_fixture.h"

namespace holdfast::uplink {
namespace {

using std::string_literals::operator""s;
using testing::HasSubstr;

TEST_F(HubExchangeTest, SubscriptionsFollowWhoIsThere) {
  CONNECT_DEV1();
  SetPresence("dev1", false, true, true);
  const Got got = Next();
  EXPECT_EQ(got.type, mqtt::PacketType::kUnsubscribe);
  EXPECT_THAT(got.filters, testing::ElementsAre(kDevicebound + "#"s));
  store_.key_value().Remove("presence/clients/dev1");
  EXPECT_TRUE(WaitWanted("dev1", false));
  EXPECT_EQ(Next().type, mqtt::PacketType::kUnsubscribe);
  // The store restarts: what is known is still so, and what changes is seen.
  store_.Down();
  store_.Up();
  SetPresence("dev1", true, false, false);
  EXPECT_TRUE(WaitWanted("dev1", true));
}

// P1: what the hub sends is on disk before it is acknowledged.
TEST_F(HubExchangeTest, CloudToDeviceMessageIsAcknowledgedWhenItIsStored) {
  CONNECT_DEV1();
  store_.key_value().SetFull(true);
  Send(kDevicebound + "%24.mid=m1&a=b"s, "on", 5);
  Send(kDevicebound + "%24.mid=m2"s, "off", 6);
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(100))) << "the store is full: it waits";
  store_.key_value().SetFull(false);
  EXPECT_EQ(Next().packet_id, 5);
  EXPECT_EQ(Next().packet_id, 6);
  const auto stored = store_.key_value().appended("inbox/dev1");
  ASSERT_EQ(stored.size(), 2u);
  message::v1::Envelope envelope;
  ASSERT_TRUE(envelope.ParseFromString(stored[0].record));
  EXPECT_EQ(envelope.kind(), message::v1::Envelope::KIND_CLOUD_TO_DEVICE);
  EXPECT_EQ(envelope.property_bag(), "%24.mid=m1&a=b");
  EXPECT_EQ(envelope.body(), "on");
  EXPECT_EQ(envelope.device_id(), "");
  EXPECT_EQ(stored[0].ttl_seconds, 0);
}

// P3: the hub sends again what it has no acknowledgement for.
TEST_F(HubExchangeTest, MessageThatComesAgainIsStoredOnce) {
  CONNECT_DEV1();
  Send(kDevicebound + "%24.mid=m1"s, "on", 5);
  EXPECT_EQ(Next().packet_id, 5);
  store_.key_value().SetFull(true);
  Send(kDevicebound + "%24.mid=m2"s, "off", 6);
  Disconnect();
  Connect("dev1");
  Grant();
  store_.key_value().SetFull(false);
  Rid("$iothub/twin/GET/");
  Send(kDevicebound + "%24.mid=m1"s, "on", 1);
  Send(kDevicebound + "%24.mid=m2"s, "off", 2);
  EXPECT_EQ(Next().packet_id, 1);
  EXPECT_EQ(Next().packet_id, 2);
  EXPECT_EQ(store_.key_value().appended("inbox/dev1").size(), 2u);
}

TEST_F(HubExchangeTest, ExpiryOfAMessageBecomesItsTimeToLive) {
  CONNECT_DEV1();
  const auto bag = [](absl::Duration left) {
    std::string text = "%24.exp=";
    mqtt::AppendPercentEncoded(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now() + left, absl::UTCTimeZone()),
                               &text);
    return kDevicebound + text;
  };
  Send(bag(-absl::Seconds(1)), "late", 5);
  Send(bag(absl::Seconds(100)), "in time", 6);
  Send(kDevicebound, std::string(C2dInbox::kBodyBytesMax + 1, 'x'), 7);
  for (const uint16_t id : {5, 6, 7}) EXPECT_EQ(Next().packet_id, id);
  const auto stored = store_.key_value().appended("inbox/dev1");
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_THAT(stored[0].ttl_seconds, testing::AllOf(testing::Ge(95), testing::Le(100)));
}

// P12: what there is no memory for stays at the hub, and a new connection brings it.
TEST_F(HubExchangeTest, WithoutRoomTheMessagesStayAtTheHub) {
  options_.c2d.bytes_max = 1000;
  CONNECT_DEV1();
  store_.key_value().SetFull(true);
  Send(kDevicebound, std::string(900, 'a'), 5);
  Send(kDevicebound, std::string(900, 'b'), 6);
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(50)));
  store_.key_value().SetFull(false);
  EXPECT_EQ(Next().packet_id, 5);
  EXPECT_TRUE(Wait([this] { return renewals_ == 1; }));
}

TEST_F(HubExchangeTest, MethodsGoToRouterAndTheAnswerComesBack) {
  CONNECT_DEV1();
  Send("$iothub/methods/POST/re%20boot/?$rid=a1", "{\"x\":1}");
  Got answer = Next();
  EXPECT_EQ(answer.topic, "$iothub/methods/res/217/?$rid=a1");
  EXPECT_EQ(answer.payload, "re boot:{\"x\":1}");
  Send("$iothub/methods/POST/late/?$rid=a2", "");
  answer = Next();
  EXPECT_EQ(answer.topic, "$iothub/methods/res/504/?$rid=a2");
  EXPECT_THAT(answer.payload, HasSubstr("no answer"));
}

TEST_F(HubExchangeTest, MethodOfAClientThatIsNotThereIsNotFound) {
  SetPresence("dev2/mod", false, true, false);
  Start();
  ASSERT_TRUE(WaitWanted("dev2/mod", true));
  Connect("dev2/mod");
  EXPECT_THAT(Grant(), testing::SizeIs(3)) << "a module has no cloud-to-device messages";
  Rid("$iothub/twin/GET/");
  Send("$iothub/methods/POST/reboot/?$rid=a1", "");
  EXPECT_EQ(Next().topic, "$iothub/methods/res/404/?$rid=a1");
}

// P12: and nobody waits for what nobody wants any more.
TEST_F(HubExchangeTest, MethodsAreBoundedAndEndWithTheConnection) {
  options_.methods.calls_max = 1;
  CONNECT_DEV1();
  Send("$iothub/methods/POST/slow/?$rid=a1", "");
  Send("$iothub/methods/POST/reboot/?$rid=a2", "");
  EXPECT_EQ(Next().topic, "$iothub/methods/res/429/?$rid=a2");
  for (int i = 0; i < 500 && router_.waiting() == 0; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(router_.waiting(), 1);
  Disconnect();
  for (int i = 0; i < 500 && router_.waiting() > 0; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(router_.waiting(), 0);
}

// P12: a refused subscription is a trouble, not a loop.
TEST_F(HubExchangeTest, RefusedSubscriptionIsTold) {
  SetPresence("dev1", false, true, false);
  Start();
  ASSERT_TRUE(WaitWanted("dev1", true));
  Connect("dev1");
  const Got got = Next();
  std::string out;
  mqtt::AppendSuback(got.packet_id, "\x80\x01\x01"s, &out);
  ASSERT_TRUE(hub_.Send(out).ok());
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(50)));
}

}  // namespace
}  // namespace holdfast::uplink
