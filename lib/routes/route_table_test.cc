// Tables of routes (IoT Edge contract C6).
#include "lib/routes/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "lib/routes/test_message.h"

namespace holdfast::routes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kAll[] = "FROM /messages/* INTO $upstream";

std::shared_ptr<const RouteTable> Table(std::vector<RouteDefinition> routes) {
  auto table = RouteTable::Compile(std::move(routes));
  EXPECT_TRUE(table.ok()) << table.status();
  return table.ok() ? *table : nullptr;
}

TestMessage From(std::string source, TestMessage::Properties properties = {}) {
  TestMessage message;
  message.source_text = std::move(source);
  message.properties = std::move(properties);
  return message;
}

TEST(RouteTableTest, EveryRouteWhoseSourceMatchesIsEvaluated) {
  const auto table =
      Table({{.name = "up", .text = kAll},
             {.name = "m", .text = "FROM /messages/modules/m/* INTO BrokeredEndpoint('/modules/a/inputs/i')"},
             {.name = "hot", .text = "FROM /messages/* WHERE t = 'hot' INTO BrokeredEndpoint('/devices/fan/inbox')"}});
  EXPECT_THAT(table->endpoints(), SizeIs(3));
  EXPECT_THAT(table->Evaluate(From("/messages/")).destinations, ElementsAre(Destination{.endpoint = 0, .route = 0}));
  EXPECT_THAT(table->Evaluate(From("/messages/modules/m", {{"t", "hot"}})).destinations,
              ElementsAre(Destination{.endpoint = 0, .route = 0}, Destination{.endpoint = 1, .route = 1},
                          Destination{.endpoint = 2, .route = 2}));
}

// "an endpoint receives one copy at the best (numerically lowest) priority among matching routes, with that route's
// TTL"
TEST(RouteTableTest, OneCopyAtTheBestPriority) {
  const auto table =
      Table({{.name = "last", .text = kAll, .ttl_seconds = 10},
             {.name = "five", .text = "FROM /* INTO $upstream", .priority = 5, .ttl_seconds = 50},
             {.name = "two", .text = "FROM /* WHERE a = '1' INTO $UPSTREAM", .priority = 2, .ttl_seconds = 20},
             {.name = "alsoFive", .text = kAll, .priority = 5, .ttl_seconds = 55}});
  ASSERT_NE(table, nullptr);
  EXPECT_THAT(table->endpoints(), SizeIs(1));
  EXPECT_THAT(table->Evaluate(From("/messages/")).destinations,
              ElementsAre(Destination{.endpoint = 0, .priority = 5, .ttl_seconds = 50, .route = 1}));
  EXPECT_THAT(table->Evaluate(From("/messages/", {{"a", "1"}})).destinations,
              ElementsAre(Destination{.endpoint = 0, .priority = 2, .ttl_seconds = 20, .route = 2}));
}

TEST(RouteTableTest, NoMatchHasAReason) {
  const auto table = Table({{.name = "a", .text = "FROM /messages/modules/* WHERE a = '1' INTO $upstream"},
                            {.name = "b", .text = "FROM /messages/modules/* WHERE b = '1' INTO $upstream"}});
  const auto reason = [&table](const TestMessage& message) { return table->Evaluate(message).no_match; };
  EXPECT_EQ(reason(From("/messages/")), NoMatch::kSource);
  EXPECT_EQ(reason(From("/messages/modules/m", {{"a", "0"}, {"b", "0"}})), NoMatch::kFalse);
  EXPECT_EQ(reason(From("/messages/modules/m", {{"a", "0"}})), NoMatch::kUndefined);
  EXPECT_EQ(reason(From("/messages/modules/m", {{"a", "1"}})), NoMatch::kNone);
  EXPECT_EQ(table->messages(NoMatch::kSource), 1u);
  EXPECT_EQ(table->messages(NoMatch::kFalse), 1u);
  EXPECT_EQ(table->messages(NoMatch::kUndefined), 1u);
  EXPECT_EQ(table->messages(NoMatch::kNone), 1u);
  EXPECT_EQ(table->counts(0).matched, 1u);
  EXPECT_EQ(table->counts(0).undefined, 0u);
  EXPECT_EQ(table->counts(1).undefined, 2u);
  EXPECT_EQ(Text(NoMatch::kUndefined), "condition_undefined");
}

TEST(RouteTableTest, EmptyTableMatchesNothing) {
  EXPECT_EQ(Table({})->Evaluate(From("/messages/")).no_match, NoMatch::kSource);
}

// "A compile error in any route rejects the whole configuration"; here with every error, by the name of its route.
TEST(RouteTableTest, OneBadRouteRefusesTheTableAndAllErrorsAreTold) {
  std::vector<RouteError> errors;
  const auto table = RouteTable::Compile({{.name = "good", .text = kAll},
                                          {.name = "typo", .text = "FROM /messages/* WHERE a == '1' INTO $upstream"},
                                          {.name = "sink", .text = "FROM /messages/* INTO nowhere"},
                                          {.name = "a.b", .text = kAll},
                                          {.name = "prio", .text = kAll, .priority = 10},
                                          {.name = "good", .text = kAll}},
                                         {}, &errors);
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_THAT(errors, SizeIs(5));
  EXPECT_EQ(errors[0].Text(), "route typo, column 26: '==' is no operator (use =)");
  EXPECT_EQ(errors[1].route, "sink");
  EXPECT_THAT(errors[2].Text(), HasSubstr("route a.b: a name must have"));
  EXPECT_THAT(errors[3].Text(), HasSubstr("route prio: priority 10 is not 0 to 9"));
  EXPECT_THAT(errors[4].Text(), HasSubstr("used twice"));
  for (const RouteError& error : errors) EXPECT_THAT(std::string(table.status().message()), HasSubstr(error.Text()));
}

// kRoutesMax, kRouteNameBytesMax
TEST(RouteTableTest, Limits) {
  std::vector<RouteDefinition> routes;
  for (size_t i = 0; i < kRoutesMax; ++i) routes.push_back({.name = "r" + std::to_string(i), .text = kAll});
  EXPECT_TRUE(RouteTable::Compile(routes).ok());
  routes.push_back({.name = "more", .text = kAll});
  EXPECT_THAT(std::string(RouteTable::Compile(routes).status().message()), HasSubstr("1001 routes, 1000 are allowed"));
  EXPECT_TRUE(IsRouteName(std::string(kRouteNameBytesMax, 'a')));
  EXPECT_FALSE(IsRouteName(std::string(kRouteNameBytesMax + 1, 'a')));
  for (const char* name : {"", "a.b", "a b", "$a", "a#"}) EXPECT_FALSE(IsRouteName(name)) << name;
}

TEST(RouteTableTest, BodyIsLookedAtByAllRoutesOfATable) {
  const auto table =
      Table({{.name = "a", .text = "FROM /messages/* WHERE $body.a = 1 INTO $upstream"},
             {.name = "b", .text = "FROM /messages/* WHERE $body.b = 2 INTO BrokeredEndpoint('/modules/m/inputs/i')"}});
  EXPECT_THAT(table->Evaluate(BodyMessage(R"({"a": 1, "b": 2})")).destinations, SizeIs(2));
  EXPECT_THAT(table->Evaluate(BodyMessage(R"({"a": 1})")).destinations, SizeIs(1));
  EXPECT_THAT(table->Evaluate(BodyMessage("{")).destinations, IsEmpty());
}

TEST(RouteTableTest, ThreadsShareATable) {
  const auto table = Table({{.name = "a", .text = "FROM /messages/* WHERE lower(a) = 'x' INTO $upstream"}});
  constexpr int kMessages = 2000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&table] {
      const TestMessage message = From("/messages/", {{"a", "X"}});
      for (int k = 0; k < kMessages; ++k) table->Evaluate(message);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table->counts(0).matched, 4u * kMessages);
}

}  // namespace
}  // namespace holdfast::routes
