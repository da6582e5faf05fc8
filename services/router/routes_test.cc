#include "services/router/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<const Routes> Make(std::vector<routes::RouteDefinition> definitions,
                                   const std::string& gateway = "gw") {
  const auto table = routes::RouteTable::Compile(std::move(definitions));
  EXPECT_TRUE(table.ok()) << table.status();
  const auto made = Routes::Create(*table, gateway);
  EXPECT_TRUE(made.ok()) << made.status();
  return *made;
}

std::vector<std::string> Queues(const Routes& routes, const routes::BagMessageParts& message,
                                routes::NoMatch expected = routes::NoMatch::kNone) {
  routes::NoMatch no_match = routes::NoMatch::kSource;
  std::vector<std::string> queues;
  for (const Copy* copy : routes.Route(message, &no_match)) queues.push_back(copy->endpoint.queue);
  EXPECT_EQ(no_match, expected);
  return queues;
}

TEST(RoutesTest, DefaultIsEverythingToTheHub) {
  const auto routes = Routes::Default();
  EXPECT_THAT(Queues(*routes, {.device_id = "leaf"}), ElementsAre("upstream"));
  EXPECT_THAT(Queues(*routes, {.device_id = "gw", .module_id = "m", .property_bag = "%24.on=o"}),
              ElementsAre("upstream"));
  EXPECT_THAT(Queues(*routes, {.device_id = "gw", .twin_change = true}, routes::NoMatch::kSource), IsEmpty());
  EXPECT_THAT(routes->ClientQueues(), IsEmpty());
}

TEST(RoutesTest, WhatAllMessagesTakeIsCounted) {
  const auto table = *routes::RouteTable::Compile({{.name = "up", .text = "FROM /messages/* INTO $upstream"}});
  const auto routes = *Routes::Create(table, "");
  routes::NoMatch no_match = routes::NoMatch::kSource;
  for (int i = 0; i < 3; ++i) routes->Route({.device_id = "leaf"}, &no_match);
  EXPECT_EQ(table->counts(0).matched, 3u);
  EXPECT_EQ(table->messages(routes::NoMatch::kNone), 3u);
}

TEST(RoutesTest, EndpointsAreQueuesWithTheRoutesPriorityAndTtl) {
  const auto routes =
      Make({{.name = "in",
             .text = "FROM /messages/modules/a/outputs/* INTO BrokeredEndpoint(\"/modules/b/inputs/in1\")",
             .priority = 3,
             .ttl_seconds = 60},
            {.name = "box",
             .text = "FROM /messages/modules/a INTO BrokeredEndpoint(\"/devices/leaf/inbox\")",
             .ttl_seconds = 4'294'967'295},
            {.name = "up", .text = "FROM /messages/* WHERE level = 'high' INTO $upstream", .priority = 0}});
  routes::NoMatch no_match = routes::NoMatch::kSource;
  const auto copies =
      routes->Route({.device_id = "gw", .module_id = "a", .property_bag = "%24.on=x&level=high"}, &no_match);
  ASSERT_EQ(copies.size(), 3u);
  EXPECT_EQ(copies[0]->endpoint, (Endpoint{.queue = "inputs/gw/b", .priority = 3, .ttl_seconds = 60}));
  EXPECT_EQ(copies[0]->input_name, "in1");
  EXPECT_EQ(copies[1]->endpoint,
            (Endpoint{.queue = "inbox/leaf", .priority = 2'000'000'000, .ttl_seconds = 2'147'483'647}));
  EXPECT_TRUE(copies[1]->to_inbox);
  EXPECT_EQ(copies[2]->endpoint, (Endpoint{.queue = "upstream", .priority = 0}));
  EXPECT_FALSE(copies[2]->to_client());
  EXPECT_THAT(Queues(*routes, {.device_id = "leaf", .property_bag = "level=low"}, routes::NoMatch::kFalse), IsEmpty());
  EXPECT_THAT(Queues(*routes, {.device_id = "leaf"}, routes::NoMatch::kUndefined), IsEmpty());
  EXPECT_THAT(routes->ClientQueues(), ElementsAre("inbox/leaf", "inputs/gw/b"));
}

TEST(RoutesTest, TwoInputsOfAModuleAreTwoCopiesInOneQueue) {
  const auto routes = Make({{.name = "1", .text = "FROM /* INTO BrokeredEndpoint(\"/modules/b/inputs/in1\")"},
                            {.name = "2", .text = "FROM /* INTO BrokeredEndpoint(\"/modules/b/inputs/in2\")"}});
  EXPECT_THAT(Queues(*routes, {.device_id = "leaf"}), ElementsAre("inputs/gw/b", "inputs/gw/b"));
  EXPECT_THAT(routes->ClientQueues(), ElementsAre("inputs/gw/b"));
}

TEST(RoutesTest, WithoutTheGatewaysNameModulesCantBeReached) {
  const auto table =
      routes::RouteTable::Compile({{.name = "1", .text = "FROM /* INTO BrokeredEndpoint(\"/modules/b/inputs/in1\")"}});
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Routes::Create(*table, "").status()));
}

TEST(RoutesTest, NoRoutesAtAll) {
  EXPECT_THAT(Queues(*Make({}), {.device_id = "leaf"}, routes::NoMatch::kSource), IsEmpty());
}

}  // namespace
}  // namespace holdfast::router
