// Twins as clients see them, over MQTT and over gRPC.
#include <fmt/format.h>

#include <thread>

#include "lib/base/log.h"
#include "lib/twin/twin_record.h"
#include "services/router/router_fixture.h"
#include "services/router/twins_service.h"

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kResponses = "$iothub/twin/res/#";
constexpr std::string_view kDesired = "$iothub/twin/PATCH/properties/desired/#";

class RouterTwinTest : public RouterTest {
 protected:
  void RouteTwinChanges() {
    const auto table = routes::RouteTable::Compile({{.name = "changes",
                                                     .text = "FROM /twinChangeNotifications INTO $upstream",
                                                     .priority = 3,
                                                     .ttl_seconds = 60}});
    ASSERT_TRUE(table.ok()) << table.status();
    ASSERT_TRUE(router_->SetRoutes(*table).ok());
  }
  static std::string Subscribe(std::string_view filter) {
    std::string bytes;
    EXPECT_EQ(mqtt::AppendSubscribe(9, {{filter, 0}}, &bytes), mqtt::Error::kOk);
    return bytes;
  }
  static std::string Publish(std::string_view topic, std::string_view payload = "") {
    std::string bytes;
    EXPECT_EQ(mqtt::AppendPublish({.topic = topic, .payload = payload}, &bytes), mqtt::Error::kOk);
    return bytes;
  }
  static std::string Get(std::string_view rid) { return Publish(fmt::format("$iothub/twin/GET/?$rid={}", rid)); }
  static std::string Report(std::string_view rid, std::string_view patch) {
    return Publish(fmt::format("$iothub/twin/PATCH/properties/reported/?$rid={}", rid), patch);
  }
  // "topic payload" of the next PUBLISH.
  static std::string Next(Peer* peer) {
    const std::string bytes = peer->Read();
    const mqtt::ScanResult scan = mqtt::ScanFrame(bytes, mqtt::kPacketBytesMax);
    mqtt::Publish publish;
    if (scan.frame.type() != mqtt::PacketType::kPublish ||
        mqtt::DecodePublish(scan.frame, &publish) != mqtt::Error::kOk) {
      return "no PUBLISH: " + Printable(bytes);
    }
    return fmt::format("{} {}", publish.topic, publish.payload);
  }
  Peer Device(std::string_view name, bool desired = false) {
    Peer peer = Connected(name);
    peer.Send(Subscribe(kResponses));
    EXPECT_EQ(peer.Read().substr(0, 1), "\x90");
    if (desired) {
      peer.Send(Subscribe(kDesired));
      EXPECT_EQ(peer.Read().substr(0, 1), "\x90");
    }
    return peer;
  }
  twin::TwinRecord Stored(const std::string& client_id) {
    twin::TwinRecord record;
    const auto content = store_.Content();
    const auto it = content.find("twins/" + client_id);
    if (it != content.end()) {
      EXPECT_TRUE(record.ParseFromString(it->second));
    }
    return record;
  }
  void Put(const std::string& client_id, const twin::TwinRecord& record) {
    store_.Put("twins/" + client_id, record.SerializeAsString());
  }
  void HubSays(twin::TwinRecord* record, std::string_view document) {
    EXPECT_TRUE(twin::TakeHubDocument(document, 1, record).ok());
  }
  void SetLink(bool online, const std::string& kind) {
    presence::v1::LinkPresence link;
    link.set_online(online);
    link.set_kind(kind);
    store_.Put("presence/link", link.SerializeAsString());
  }
  absl::StatusCode SetDesired(const std::string& client_id, const std::string& patch,
                              std::optional<uint64_t> if_version = std::nullopt) {
    v1::UpdateDesiredPropertiesRequest request;
    request.set_client_id(client_id);
    request.set_patch(patch);
    if (if_version) request.set_if_version(*if_version);
    v1::Twin twin;
    return static_cast<absl::StatusCode>(
        TwinsService(router_.get()).UpdateDesiredProperties(nullptr, &request, &twin).error_code());
  }
};

TEST_F(RouterTwinTest, GetIsAnsweredAtOnceFromTheStoreWithItsRid) {
  Start();
  Peer peer = Device("dev1");
  peer.Send(Get("a%20B{-}é"));
  EXPECT_EQ(Next(&peer),
            R"($iothub/twin/res/200/?$rid=a%20B{-}é {"desired":{"$version":0},"reported":{"$version":0}})");
  twin::TwinRecord record;
  HubSays(&record, R"({"desired":{"x":1,"$version":4},"reported":{"y":2,"$version":7}})");
  Put("dev1", record);
  peer.Send(Get("2"));
  EXPECT_EQ(Next(&peer),
            R"($iothub/twin/res/200/?$rid=2 {"desired":{"$version":4,"x":1},"reported":{"$version":7,"y":2}})");
}

// P10, P1: 204 means on disk.
TEST_F(RouterTwinTest, ReportedPatchIsAcknowledgedWhenItIsStored) {
  Start();
  Peer peer = Device("dev1");
  store_.HoldWrites(true);
  peer.Send(Report("1", R"({"a":1,"b":null})"));
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(100)));
  EXPECT_EQ(Stored("dev1").reported(), "");
  store_.HoldWrites(false);
  EXPECT_EQ(Next(&peer), "$iothub/twin/res/204/?$rid=1&$version=1 ");
  EXPECT_EQ(Stored("dev1").reported(), R"({"a":1})");
  EXPECT_EQ(Stored("dev1").pending(), R"({"a":1,"b":null})");
}

TEST_F(RouterTwinTest, RequestsOfAClientAreAnsweredInOrder) {
  Start();
  Peer peer = Device("dev1");
  std::string all;
  for (int i = 0; i < 5; ++i)
    all += Report(fmt::format("p{}", i), fmt::format(R"({{"n":{}}})", i)) + Get(fmt::format("g{}", i));
  peer.Send(all);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Next(&peer), fmt::format("$iothub/twin/res/204/?$rid=p{}&$version={} ", i, i + 1));
    EXPECT_EQ(
        Next(&peer),
        fmt::format(
            R"($iothub/twin/res/200/?$rid=g{} {{"desired":{{"$version":0}},"reported":{{"$version":{},"n":{}}}}})", i,
            i + 1, i));
  }
}

TEST_F(RouterTwinTest, WhatBreaksALimitIs400AndChangesNothing) {
  Start();
  Peer peer = Device("dev1");
  peer.Send(Report("1", R"({"a":{"b c":1}})"));
  const std::string answer = Next(&peer);
  EXPECT_THAT(answer, StartsWith(R"($iothub/twin/res/400/?$rid=1 {"errorCode":400,"message":"a.)"));
  EXPECT_THAT(answer, HasSubstr("a name with a space"));
  peer.Send(Report("2", "nonsense"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/400/?$rid=2 {"));
  EXPECT_FALSE(store_.Content().contains("twins/dev1"));
}

TEST_F(RouterTwinTest, WithoutARidThePatchIsTakenAndNotAnswered) {
  Start();
  Peer peer = Device("dev1");
  peer.Send(Publish("$iothub/twin/PATCH/properties/reported/", R"({"a":1})") + Get("2"));
  EXPECT_THAT(Next(&peer), HasSubstr(R"(res/200/?$rid=2 {"desired":{"$version":0},"reported":{"$version":1,"a":1}})"));
}

TEST_F(RouterTwinTest, AWriteOfSomebodyElseInBetweenIsKept) {
  Start();
  Peer peer = Device("dev1");
  twin::TwinRecord record;
  HubSays(&record, R"({"desired":{"x":1,"$version":4},"reported":{"y":2,"$version":7}})");
  store_.PutBeforeNextWrite("twins/dev1", record.SerializeAsString());
  peer.Send(Report("1", R"({"a":1})"));
  EXPECT_EQ(Next(&peer), "$iothub/twin/res/204/?$rid=1&$version=8 ");
  EXPECT_EQ(Stored("dev1").reported(), R"({"a":1,"y":2})");
  EXPECT_EQ(Stored("dev1").desired(), R"({"x":1})");
}

TEST_F(RouterTwinTest, APatchWhoseCommitWasNotHeardOfIsNotTakenTwice) {
  Start();
  RouteTwinChanges();
  Peer peer = Device("dev1");
  store_.LoseNextAnswer();
  peer.Send(Report("1", R"({"a":1})"));
  EXPECT_EQ(Next(&peer), "$iothub/twin/res/204/?$rid=1&$version=1 ");
  EXPECT_EQ(store_.Messages().size(), 1u);
}

TEST_F(RouterTwinTest, AStoreThatDoesNotAnswerIs503) {
  options_.twin_timeout = absl::Milliseconds(200);
  Start();
  Peer peer = Device("dev1");
  store_.HoldWrites(true);
  peer.Send(Report("1", R"({"a":1})"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/503/?$rid=1 {"));
  store_.HoldWrites(false);
  store_.HoldGets(true);
  peer.Send(Get("2"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/503/?$rid=2 {"));
  store_.HoldGets(false);
  peer.Send(Get("3"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/200/?$rid=3 {"));
}

TEST_F(RouterTwinTest, TooManyRequestsAtOnceAre429) {
  Start();
  Peer peer = Device("dev1");
  store_.HoldGets(true);
  std::string all;
  for (size_t i = 0; i < kTwinRequestsPerClientMax + 2; ++i) all += Get(fmt::format("{}", i));
  peer.Send(all);
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/429/?$rid=20 {"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/429/?$rid=21 {"));
  // Nobody else has to wait for it.
  store_.HoldGets(false);
  for (size_t i = 0; i < kTwinRequestsPerClientMax; ++i) {
    EXPECT_THAT(Next(&peer), StartsWith(fmt::format("$iothub/twin/res/200/?$rid={} ", i)));
  }
  peer.Send(Get("again"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/200/?$rid=again "));
}

TEST_F(RouterTwinTest, AFirstGetWaitsForTheHubThatIsThere) {
  options_.twin_first_wait = absl::Seconds(30);
  Start();
  SetLink(true, "iothub");
  Peer other = Device("dev2");
  Peer peer = Device("dev1");
  ASSERT_TRUE(Eventually([&] {
    peer.Send(Get("1"));
    return peer.Silent(absl::Milliseconds(50));
  }));
  twin::TwinRecord record;
  HubSays(&record, R"({"desired":{"x":1,"$version":4},"reported":{"$version":1}})");
  Put("dev1", record);
  std::string answer;
  do answer = Next(&peer);
  while (answer.find("\"x\":1") == std::string::npos && answer.starts_with("$iothub"));
  EXPECT_EQ(answer, R"($iothub/twin/res/200/?$rid=1 {"desired":{"$version":4,"x":1},"reported":{"$version":1}})");
  // The hub goes while another one waits.
  other.Send(Get("2"));
  EXPECT_TRUE(other.Silent(absl::Milliseconds(50)));
  SetLink(false, "iothub");
  EXPECT_THAT(Next(&other), StartsWith("$iothub/twin/res/200/?$rid=2 {\"desired\":{\"$version\":0}"));
}

TEST_F(RouterTwinTest, AHubThatDoesNotAnswerIsWaitedForOnce) {
  options_.twin_first_wait = absl::Milliseconds(300);
  Start();
  SetLink(true, "iothub");
  Peer peer = Device("dev1");
  ASSERT_TRUE(Eventually([&] {
    peer.Send(Get("1"));
    const bool waits = peer.Silent(absl::Milliseconds(50));
    EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/200/?$rid=1 {\"desired\":{\"$version\":0}"));
    return waits;
  }));
  const absl::Time start = absl::Now();
  for (int i = 0; i < 10; ++i) {
    peer.Send(Get("2"));
    EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/200/?$rid=2 "));
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(2)) << "each of them waited";
}

TEST_F(RouterTwinTest, DesiredChangesComeOnceOverBreaksOfTheWatch) {
  Start();
  Peer peer = Device("dev1", /*desired=*/true);
  EXPECT_EQ(SetDesired("dev1", R"({"a":1,"b":{"c":2}})"), absl::StatusCode::kOk);
  EXPECT_EQ(Next(&peer), R"($iothub/twin/PATCH/properties/desired/?$version=1 {"$version":1,"a":1,"b":{"c":2}})");
  store_.BreakWatches();
  EXPECT_EQ(SetDesired("dev1", R"({"a":null})"), absl::StatusCode::kOk);
  EXPECT_EQ(Next(&peer), R"($iothub/twin/PATCH/properties/desired/?$version=2 {"$version":2,"a":null})");
  // What happens while nothing is heard comes in one.
  store_.HoldWatches(true);
  store_.BreakWatches();
  EXPECT_EQ(SetDesired("dev1", R"({"b":{"d":3}})"), absl::StatusCode::kOk);
  EXPECT_EQ(SetDesired("dev1", R"({"b":{"c":4}})"), absl::StatusCode::kOk);
  store_.HoldWatches(false);
  EXPECT_EQ(Next(&peer), R"($iothub/twin/PATCH/properties/desired/?$version=4 {"$version":4,"b":{"c":4,"d":3}})");
  // What it reports itself is no change of what is desired.
  peer.Send(Report("1", R"({"r":1})"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/204/"));
  store_.BreakWatches();
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(200)));
}

// What changes after the SUBACK is told, so that must not come before it is known what the client has seen.
TEST_F(RouterTwinTest, SubackOfDesiredPropertiesComesWhenTheSubscriptionIsInForce) {
  Start();
  Peer peer = Connected("dev1");
  store_.HoldGets(true);
  peer.Send(Subscribe(kDesired));
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(100)));
  store_.HoldGets(false);
  EXPECT_EQ(peer.Read().substr(0, 1), "\x90");
  twin::TwinRecord record;
  HubSays(&record, R"({"desired":{"x":1,"$version":4},"reported":{}})");
  Put("dev1", record);
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/PATCH/properties/desired/?$version=4 "));
}

TEST_F(RouterTwinTest, AKeptSubscriptionIsInForceWhenTheClientIsBack) {
  Start();
  { Peer peer = Device("dev1", /*desired=*/true); }
  Peer peer = Connected("dev1");
  peer.Send(Get("1"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/200/"));
  EXPECT_EQ(SetDesired("dev1", R"({"a":1})"), absl::StatusCode::kOk);
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/PATCH/properties/desired/?$version=1 "));
}

TEST_F(RouterTwinTest, AReportedPatchBecomesAMessageInTheSameBatch) {
  Start();
  RouteTwinChanges();
  Peer peer = Device("dev1");
  peer.Send(Report("1", R"({ "a": 1 })"));
  EXPECT_THAT(Next(&peer), StartsWith("$iothub/twin/res/204/"));
  ASSERT_EQ(store_.Messages().size(), 1u);
  EXPECT_EQ(store_.Messages()[0].kind(), message::v1::Envelope::KIND_TWIN_CHANGE);
  EXPECT_EQ(store_.Messages()[0].device_id(), "dev1");
  EXPECT_EQ(store_.Messages()[0].body(), R"({ "a": 1 })");
  EXPECT_EQ(store_.Requests().back().priority(), 3u);
  EXPECT_EQ(store_.Requests().back().ttl_seconds(), 60);
}

TEST_F(RouterTwinTest, TheTwinGoesWithItsIdentity) {
  Start();
  Put("dev1", {});
  Put("dev1/mod", {});
  Put("dev10", {});
  auth::v1::WatchIdentitiesResponse list;
  auto* const identity = list.add_changed();
  identity->set_device_id("dev1");
  identity->set_version(1);
  identity->set_enabled(true);
  identities_.Push(list);
  auth::v1::WatchIdentitiesResponse removed;
  removed.add_removed()->set_device_id("dev1");
  identities_.Push(removed);
  EXPECT_TRUE(Eventually([&] {
    const auto content = store_.Content();
    return !content.contains("twins/dev1") && !content.contains("twins/dev1/mod");
  }));
  EXPECT_TRUE(store_.Content().contains("twins/dev10"));
}

TEST_F(RouterTwinTest, OperatorsReadAndSetTwins) {
  Start();
  TwinsService service(router_.get());
  v1::GetTwinRequest get;
  v1::Twin twin;
  get.set_client_id("dev1");
  EXPECT_EQ(service.GetTwin(nullptr, &get, &twin).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(SetDesired("dev1", R"({"a":1})"), absl::StatusCode::kNotFound);
  EXPECT_EQ(SetDesired("dev1/", R"({"a":1})"), absl::StatusCode::kInvalidArgument);
  Peer peer = Connected("dev1");
  EXPECT_EQ(SetDesired("dev1", R"({"a":[null]})"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SetDesired("dev1", R"({"a":1})", 0), absl::StatusCode::kOk);
  EXPECT_EQ(SetDesired("dev1", R"({"a":2})", 0), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(service.GetTwin(nullptr, &get, &twin).ok());
  EXPECT_EQ(twin.document(), R"({"desired":{"$version":1,"a":1},"reported":{"$version":0}})");
  EXPECT_EQ(twin.local_desired(), R"({"a":1})");
  EXPECT_FALSE(twin.has_synced_at());
  for (const char* name : {"dev2", "dev3", "dev4"}) Put(name, {});
  v1::ListTwinsRequest list;
  v1::ListTwinsResponse page;
  list.set_page_size(1001);
  EXPECT_EQ(service.ListTwins(nullptr, &list, &page).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  std::vector<std::string> names;
  list.set_page_size(0);
  do {
    page.Clear();
    ASSERT_TRUE(service.ListTwins(nullptr, &list, &page).ok());
    for (const auto& entry : page.twins()) names.push_back(entry.client_id());
    list.set_after_client_id(names.back());
  } while (page.more());
  EXPECT_THAT(names, ElementsAre("dev1", "dev2", "dev3", "dev4"));
}

}  // namespace
}  // namespace holdfast::router
