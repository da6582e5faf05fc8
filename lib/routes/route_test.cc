// Routes: grammar, sources and sinks (IoT Edge contract C1, C2, C7).
#include "lib/routes/route.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/routes/message.h"

namespace holdfast::routes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Route Compiled(std::string_view text) {
  auto route = Route::Compile(text);
  EXPECT_TRUE(route.ok()) << text << ": " << route.status();
  return route.ok() ? *std::move(route) : Route{.source = SourcePattern("")};
}

TEST(RouteTest, Parts) {
  const Route route = Compiled(
      "SELECT * FROM /messages/modules/m/outputs/o WHERE  $body.temp > 30 AND is_defined(site) /* why */ INTO "
      "$upstream");
  EXPECT_EQ(route.source.text(), "/messages/modules/m/outputs/o");
  EXPECT_EQ(route.condition_text, "$body.temp > 30 AND is_defined(site) /* why */");
  EXPECT_TRUE(route.condition.has_value());
  EXPECT_EQ(route.endpoint.kind, Endpoint::Kind::kUpstream);
}

// C7: the idioms of the documentation.
TEST(RouteTest, DocumentedIdioms) {
  for (const char* text :
       {R"(FROM /messages/modules/sensor/outputs/* INTO BrokeredEndpoint("/modules/filter/inputs/in1"))",
        "FROM /messages/* WHERE severity = 'high' INTO $upstream",
        "FROM /messages/modules/m/outputs/o WHERE $body.temp > 30 AND is_defined(site) INTO $upstream",
        "SELECT * FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO "
        "BrokeredEndpoint(\"/modules/x/inputs/leaf\")"}) {
    EXPECT_THAT(Compiled(text).warnings, IsEmpty()) << text;
  }
}

TEST(RouteTest, KeywordsInAnyCaseAndNoBlanksWhereTheyMeanNothing) {
  EXPECT_EQ(Compiled("select * from/messages/*\n\tinto $UpStream").endpoint.kind, Endpoint::Kind::kUpstream);
  EXPECT_EQ(Compiled("FROM /messages/* WHERE(true)INTO $upstream").condition_text, "(true)");
}

TEST(RouteTest, CommentsAndStarsOfASource) {
  const Route route = Compiled("FROM /* leaves */ /messages/* WHERE a = '1' /* x */ INTO /* hub */ $upstream /**/");
  EXPECT_EQ(route.source.text(), "/messages/*");
  EXPECT_EQ(route.condition_text, "a = '1' /* x */");
  EXPECT_EQ(Compiled("FROM /* INTO $upstream").source.text(), "/*");
}

TEST(RouteTest, WithoutWhereThereIsNoCondition) {
  EXPECT_FALSE(Compiled("FROM /messages/* INTO $upstream").condition.has_value());
  const Route empty = Compiled("FROM /messages/* WHERE INTO $upstream");
  EXPECT_TRUE(empty.condition.has_value());
  EXPECT_THAT(empty.warnings, ElementsAre(HasSubstr("empty condition")));
}

// C1: "$upstream (case-insensitive) or BrokeredEndpoint("/modules/{m}/inputs/{i}") (function name case-insensitive, '
// or " quotes, exactly 4 segments)"; beyond it a device's inbox.
TEST(RouteTest, Sinks) {
  const auto sink = [](std::string_view text) {
    return Compiled("FROM /messages/* INTO " + std::string(text)).endpoint;
  };
  EXPECT_EQ(sink("$UPSTREAM").Text(), "$upstream");
  const Endpoint input = sink("brokeredendpoint('/modules/Filter/inputs/In1')");
  EXPECT_EQ(input.kind, Endpoint::Kind::kModuleInput);
  EXPECT_EQ(input.module_id, "Filter");
  EXPECT_EQ(input.input, "In1");
  EXPECT_EQ(input.Text(), R"(BrokeredEndpoint("/modules/Filter/inputs/In1"))");
  const Endpoint inbox = sink(R"( BrokeredEndpoint ( "/devices/pump-7/inbox" ) )");
  EXPECT_EQ(inbox.kind, Endpoint::Kind::kDeviceInbox);
  EXPECT_EQ(inbox.device_id, "pump-7");
  EXPECT_EQ(inbox.Text(), R"(BrokeredEndpoint("/devices/pump-7/inbox"))");
}

// C2.
TEST(RouteTest, SourceMatchesBySegmentPrefix) {
  struct Row {
    const char* pattern;
    const char* source;
    bool matches;
  };
  const Row rows[] = {
      {"/*", "/messages/", true},
      {"/*", "/twinChangeNotifications/", true},
      {"/messages/*", "/messages/", true},
      {"/messages", "/messages/", true},
      {"/messages/*", "/messages/modules/m/outputs/o", true},
      {"/messages/*", "/twinChangeNotifications/", false},
      {"/MESSAGES/*", "/messages/modules/m", true},
      {"/messages/modules/*", "/messages/modules/m", true},
      {"/messages/modules/*", "/messages/modules/m/outputs/o", true},
      {"/messages/modules/*", "/messages/", false},
      {"/messages/modules/m/*", "/messages/modules/M", true},
      {"/messages/modules/m/*", "/messages/modules/m/outputs/o", true},
      {"/messages/modules/m/*", "/messages/modules/mm", false},
      {"/messages/modules/m/outputs/*", "/messages/modules/m", false},
      {"/messages/modules/m/outputs/*", "/messages/modules/m/outputs/o", true},
      {"/messages/modules/m/outputs/o", "/messages/modules/m/outputs/o", true},
      {"/messages/modules/m/outputs/o", "/messages/modules/m/outputs/o2", false},
      {"/messages/modules/m/outputs/o/*", "/messages/modules/m/outputs/o", true},
      {"/twinChangeNotifications", "/twinChangeNotifications/", true},
      {"/twinchangenotifications/*", "/twinChangeNotifications/", true},
      {"/messages/modules/*/outputs/o", "/messages/modules/m/outputs/o", false},
      {"/devices/*", "/messages/", false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(SourcePattern(row.pattern).Matches(row.source), row.matches) << row.pattern << " " << row.source;
    EXPECT_EQ(Compiled("FROM " + std::string(row.pattern) + " INTO $upstream").source.Matches(row.source), row.matches);
  }
}

// C2: "Any other source text compiles but never matches".
TEST(RouteTest, WarnsOfSourcesThatNeverMatch) {
  for (const char* pattern :
       {"/devices/*", "/messages/modules/*/outputs/o", "/messages/leaves", "/messages/modules/m/x",
        "/twinChangeNotifications/m", "/messages/modules/m/outputs/o/p"}) {
    EXPECT_THAT(SourcePattern(pattern).Warning(), HasSubstr("never matches")) << pattern;
  }
  for (const char* pattern : {"/*", "/messages/*", "/messages/modules/m/outputs/*", "/twinChangeNotifications/*"}) {
    EXPECT_EQ(SourcePattern(pattern).Warning(), "") << pattern;
  }
}

TEST(RouteTest, SourcesOfModules) {
  EXPECT_EQ(ModuleSource("m", ""), "/messages/modules/m");
  EXPECT_EQ(ModuleSource("m", "o"), "/messages/modules/m/outputs/o");
}

}  // namespace
}  // namespace holdfast::routes
