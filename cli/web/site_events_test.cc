#include "cli/web/site_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace holdfast::web {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using uplink::v1::LINK_STATE_OFFLINE;
using uplink::v1::LINK_STATE_ONLINE;
using uplink::v1::LINK_STATE_SUSPECT;
using StoreState = store::v1::GetStoreStatusResponse;

// A gateway on which all is well.
SiteState Well() {
  SiteState state;
  state.wall = absl::FromUnixSeconds(1'800'000'000);
  for (const char* service : {"store", "auth", "router", "uplink"}) {
    state.instances.push_back({.service = service, .name = "0", .health = cli::Health::kServing, .life = 1});
  }
  auto& uplink = state.uplinks["0"];
  uplink.set_state(LINK_STATE_ONLINE);
  uplink.set_upstream("mqtt://hub.example:1883");
  uplink.set_leads(true);
  uplink.set_leader("0");
  uplink.set_connects(1);
  auto& router = state.routers["0"];
  router.mutable_settings()->set_source("default");
  state.store.emplace().set_state(StoreState::STATE_SERVING);
  state.upstream.emplace().set_name("upstream");
  auto& identities = state.identities.emplace().response;
  identities.mutable_synced_at()->set_seconds(1'800'000'000);
  identities.mutable_readiness()->set_ready(true);
  return state;
}

class SiteEventsTest : public testing::Test {
 protected:
  SiteEventsTest() { Tell(Well()); }

  // What this round adds, in "source severity: text".
  std::vector<std::string> Tell(SiteState state) {
    const uint64_t before = events_.last_id();
    state.at = at_ += absl::Seconds(1);
    events_.Add(state);
    std::vector<std::string> told;
    for (const Event& event : events_.events()) {
      if (event.id > before) told.push_back(event.source + " " + std::string(Name(event.severity)) + ": " + event.text);
    }
    return told;
  }

  SiteEvents events_;
  absl::Duration at_ = absl::Hours(1);
};

TEST_F(SiteEventsTest, NothingHappensOnAQuietGateway) {
  EXPECT_EQ(events_.last_id(), 1u) << "that the link is up";
  EXPECT_THAT(Tell(Well()), IsEmpty());
}

TEST_F(SiteEventsTest, LinkGoesAndComesBack) {
  SiteState down = Well();
  down.uplinks["0"].set_state(LINK_STATE_OFFLINE);
  down.uplinks["0"].set_reason("connection refused");
  EXPECT_THAT(Tell(down), ElementsAre("uplink bad: link to the hub is down: connection refused"));
  EXPECT_THAT(Tell(down), IsEmpty()) << "once is enough";
  EXPECT_THAT(Tell(Well()), ElementsAre("uplink good: link to the hub is up: mqtt://hub.example:1883"));
}

TEST_F(SiteEventsTest, OutageBetweenTwoRoundsIsSeenByTheCounter) {
  SiteState anew = Well();
  anew.uplinks["0"].set_connects(2);
  EXPECT_THAT(Tell(anew), ElementsAre("uplink warning: link to the hub was lost and made anew"));
}

TEST_F(SiteEventsTest, SuspectAndStalled) {
  SiteState suspect = Well();
  suspect.uplinks["0"].set_state(LINK_STATE_SUSPECT);
  suspect.uplinks["0"].set_stalled(true);
  EXPECT_THAT(Tell(suspect), ElementsAre("uplink warning: the hub is late with its answers",
                                         "uplink bad: connected, but the hub acknowledges nothing"));
  EXPECT_THAT(Tell(Well()), ElementsAre("uplink good: the hub answers again"));
}

TEST_F(SiteEventsTest, ServiceDiesAndReturns) {
  SiteState state = Well();
  state.instances[2].health = cli::Health::kUnreachable;
  state.instances[2].detail = "router is not running";
  state.routers.clear();
  EXPECT_THAT(Tell(state), ElementsAre("health bad: router is not running"));
  EXPECT_THAT(Tell(state), IsEmpty());
  EXPECT_THAT(Tell(Well()), ElementsAre("health good: router is there again"));
}

TEST_F(SiteEventsTest, RestartBetweenTwoRoundsIsSeenByTheSocket) {
  SiteState state = Well();
  state.instances[0].life = 2;
  EXPECT_THAT(Tell(state), ElementsAre("health warning: store was restarted"));
}

TEST_F(SiteEventsTest, SecondInstanceComesAndGoes) {
  SiteState state = Well();
  state.instances.push_back({.service = "router", .name = "1", .health = cli::Health::kServing, .life = 3});
  EXPECT_THAT(Tell(state), ElementsAre("health good: router 1 is there"));
  EXPECT_THAT(Tell(Well()), ElementsAre("health warning: router 1 has gone"));
}

TEST_F(SiteEventsTest, FullStoreAndFullQueue) {
  SiteState state = Well();
  state.store->set_state(StoreState::STATE_FULL);
  state.store->set_reason("the disk is full");
  state.upstream->set_waiting_appends(3);
  state.routers["0"].set_paused(true);
  EXPECT_THAT(Tell(state), ElementsAre("store bad: the store is full, clients wait: the disk is full",
                                       "store warning: the queue upstream has no room: clients wait",
                                       "router bad: clients are not read: the store takes nothing",
                                       HasSubstr("not ready for an outage")));
  EXPECT_THAT(Tell(Well()),
              ElementsAre("store good: the store takes messages again", "store good: the queue upstream has room again",
                          "router good: clients are read again", HasSubstr("ready for an outage")));
}

TEST_F(SiteEventsTest, DropsAreToldWithTheirReason) {
  SiteState state = Well();
  state.upstream->mutable_dropped()->set_expired(12);
  EXPECT_THAT(Tell(state), ElementsAre("store bad: 12 messages dropped from upstream: their time to live was over"));
  state.upstream->mutable_dropped()->set_full(1);
  EXPECT_THAT(Tell(state), ElementsAre("store bad: 1 messages dropped from upstream: the queue was full"));
}

TEST_F(SiteEventsTest, TroubleOfAnIdentityIsToldOnce) {
  SiteState state = Well();
  auto* const trouble = state.uplinks["0"].add_troubles();
  trouble->set_device_id("dev1");
  trouble->set_module_id("mod1");
  trouble->set_reason("refused by the hub");
  EXPECT_THAT(Tell(state), ElementsAre("uplink warning: dev1/mod1's messages don't get on: refused by the hub"));
  EXPECT_THAT(Tell(state), IsEmpty());
}

TEST_F(SiteEventsTest, AwayServicesTellNothingAndThrowNothing) {
  SiteState nothing;
  EXPECT_THAT(Tell(nothing), Contains(HasSubstr("has gone")));
  EXPECT_THAT(Tell(nothing), IsEmpty());
  EXPECT_THAT(Tell(Well()), Not(Contains(HasSubstr("link to"))));
}

TEST_F(SiteEventsTest, P12_ListAndTextsAreBounded) {
  SiteState up = Well(), down = Well();
  down.uplinks["0"].set_state(LINK_STATE_OFFLINE);
  down.uplinks["0"].set_reason(std::string(10'000, 'x'));
  for (size_t i = 0; i < SiteEvents::kEventsMax; ++i) {
    Tell(down);
    Tell(up);
  }
  EXPECT_EQ(events_.events().size(), SiteEvents::kEventsMax);
  for (const Event& event : events_.events()) EXPECT_LE(event.text.size(), SiteEvents::kTextMax + 3);
}

TEST(SiteEventsStartTest, WhatIsWrongAtTheFirstRoundIsTold) {
  SiteState state = Well();
  state.instances[1].health = cli::Health::kUnreachable;
  state.instances[1].detail = "auth is not running";
  SiteEvents events;
  events.Add(state);
  EXPECT_EQ(events.events().front().text, "auth is not running");
}

}  // namespace
}  // namespace holdfast::web
