// Settings in the form of `$edgeHub` (IoT Edge contract D1).
#include "lib/routes/edgehub_settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::routes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRoute[] = "FROM /messages/* INTO $upstream";

std::string Desired(std::string_view version, std::string_view routes, std::string_view store = "{}") {
  return fmt::format(R"({{"schemaVersion": "{}", "routes": {}, "storeAndForwardConfiguration": {}}})", version, routes,
                     store);
}

std::vector<std::string> Errors(const std::string& json) {
  std::vector<SettingsError> errors;
  EXPECT_FALSE(ParseDesiredProperties(json, &errors).ok()) << json;
  std::vector<std::string> texts;
  for (const SettingsError& error : errors) texts.push_back(error.Text());
  return texts;
}

TEST(EdgeHubSettingsTest, Everything) {
  const auto settings = ParseDesiredProperties(R"({
    "schemaVersion": "1.1",
    "routes": {
      "z": "FROM /messages/* INTO $upstream",
      "a": {"route": "FROM /* INTO $upstream", "priority": 0, "timeToLiveSecs": 4294967295},
      "gone": null},
    "storeAndForwardConfiguration": {"timeToLiveSecs": 2147483647, "storeLimits": {"maxSizeBytes": 123456789012}},
    "mqttBroker": {"bridges": []}, "integrity": {"header": {}}, "unknown": [1],
    "$version": 7, "$metadata": {}})");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->schema_version, "1.1");
  EXPECT_THAT(
      settings->routes,
      ElementsAre(
          RouteDefinition{.name = "z", .text = kRoute},
          RouteDefinition{.name = "a", .text = "FROM /* INTO $upstream", .priority = 0, .ttl_seconds = 4294967295}));
  EXPECT_EQ(settings->ttl_seconds, 2147483647);
  EXPECT_EQ(settings->max_size_bytes, 123456789012);
  EXPECT_EQ(settings->version, 7);
}

// "timeToLiveSecs default 7200 (docs); <0 = infinite; 0 = zero TTL, not default (a route's 0 does mean global)".
TEST(EdgeHubSettingsTest, TimeToLive) {
  const auto ttl = [](std::string_view store) {
    return ParseDesiredProperties(Desired("1.1", "{}", store))->ttl_seconds;
  };
  EXPECT_EQ(ttl("{}"), 7200);
  EXPECT_EQ(ttl(R"({"timeToLiveSecs": -1})"), std::nullopt);
  EXPECT_EQ(ttl(R"({"timeToLiveSecs": -5})"), std::nullopt);
  EXPECT_EQ(ttl(R"({"timeToLiveSecs": 0})"), 0);
  EXPECT_EQ(ttl(R"({"timeToLiveSecs": 60.0})"), 60);
  const auto route = ParseDesiredProperties(Desired("1.1", R"({"r": {"route": "x", "timeToLiveSecs": 0}})"));
  EXPECT_EQ(route->routes[0].ttl_seconds, 0u);
  EXPECT_EQ(route->routes[0].priority, kDefaultPriority);
  const auto last = ParseDesiredProperties(Desired("1.1", R"({"r": {"route": "x", "priority": 2000000000}})"));
  EXPECT_EQ(last->routes[0].priority, kDefaultPriority);
}

// "1.0: strings only", "1.1+ require routes and storeAndForwardConfiguration non-null", other versions refused.
TEST(EdgeHubSettingsTest, SchemaVersions) {
  for (const char* version : {"1.0", "1.1", "1.2", "1.3", "1.1.2"}) {
    EXPECT_TRUE(ParseDesiredProperties(Desired(version, "{}")).ok()) << version;
  }
  for (const char* version : {"1.4", "2.0", "1", "", "1.10", "0.9"}) {
    EXPECT_THAT(Errors(Desired(version, "{}")), ElementsAre(HasSubstr("schemaVersion: expected"))) << version;
  }
  EXPECT_THAT(Errors(R"({"routes": {}})"), ElementsAre(HasSubstr("schemaVersion: is missing")));
  EXPECT_THAT(Errors(R"({"schemaVersion": 1.1})"),
              ElementsAre("schemaVersion: expected \"1.0\" to \"1.3\" instead of 1.1"));
  EXPECT_TRUE(ParseDesiredProperties(R"({"schemaVersion": "1.0"})").ok());
  EXPECT_THAT(Errors(R"({"schemaVersion": "1.1"})"),
              ElementsAre(HasSubstr("routes: is missing"), HasSubstr("storeAndForwardConfiguration: is missing")));
  EXPECT_THAT(Errors(R"({"schemaVersion": "1.1", "routes": null, "storeAndForwardConfiguration": {}})"),
              ElementsAre(HasSubstr("routes: is missing")));
  EXPECT_THAT(Errors(Desired("1.0", R"({"r": {"route": "x"}})")),
              ElementsAre(HasSubstr("routes.r: expected the text of a route (objects need schemaVersion 1.1)")));
}

TEST(EdgeHubSettingsTest, ErrorsNameThePathAndAreAllTold) {
  EXPECT_THAT(Errors(Desired("1.1",
                             R"({"a.b": "x", "n": 3, "o": {}, "p": {"route": "x", "priority": 10},
                                 "q": {"route": "x", "priority": "1"}, "t": {"route": "x", "timeToLiveSecs": -1},
                                 "u": {"route": 7, "timeToLiveSecs": 4294967296}})",
                             R"({"timeToLiveSecs": 2147483648, "storeLimits": {"maxSizeBytes": "big"}})")),
              ElementsAre(HasSubstr("routes.a.b: a name must"), HasSubstr("routes.n: expected the text of a route"),
                          "routes.o.route: is missing", HasSubstr("routes.p.priority: expected 0 to 9 instead of 10"),
                          HasSubstr("routes.q.priority: expected a whole number"), HasSubstr("routes.t.timeToLiveSecs"),
                          HasSubstr("routes.u.route: expected a text"), HasSubstr("routes.u.timeToLiveSecs"),
                          HasSubstr("storeAndForwardConfiguration.timeToLiveSecs"),
                          HasSubstr("storeAndForwardConfiguration.storeLimits.maxSizeBytes")));
  EXPECT_THAT(Errors("[]"), ElementsAre(HasSubstr("expected an object")));
  EXPECT_THAT(Errors("{"), ElementsAre(HasSubstr("is not JSON")));
  EXPECT_THAT(Errors(Desired("1.1", "[]", "[]")),
              ElementsAre(HasSubstr("routes: expected an object"),
                          HasSubstr("storeAndForwardConfiguration: expected an object")));
}

// kSettingsBytesMax
TEST(EdgeHubSettingsTest, Limit) {
  EXPECT_THAT(Errors(std::string(kSettingsBytesMax + 1, ' ')), ElementsAre(HasSubstr("1048577 bytes long")));
}

TEST(EdgeHubSettingsTest, ManifestsInEveryForm) {
  const std::string desired = Desired("1.1", R"({"r": "FROM /messages/* INTO $upstream"})", R"({"timeToLiveSecs": 5})");
  for (const std::string& manifest :
       {fmt::format(R"({{"modulesContent": {{"$edgeAgent": {{}}, "$edgeHub": {{"properties.desired": {}}}}}}})",
                    desired),
        fmt::format(R"({{"content": {{"modulesContent": {{"$edgeHub": {{"properties.desired": {}}}}}}}}})", desired),
        fmt::format(R"({{"$edgeHub": {{"properties.desired": {}}}}})", desired),
        fmt::format(R"({{"properties.desired": {}}})", desired),
        fmt::format(R"({{"properties": {{"desired": {}}}}})", desired), desired}) {
    const auto settings = ParseManifest(manifest);
    ASSERT_TRUE(settings.ok()) << manifest << settings.status();
    EXPECT_THAT(settings->routes, ElementsAre(RouteDefinition{.name = "r", .text = kRoute}));
    EXPECT_EQ(settings->ttl_seconds, 5);
  }
}

TEST(EdgeHubSettingsTest, LayersOfAManifestAreMerged) {
  const auto settings = ParseManifest(fmt::format(
      R"({{"modulesContent": {{"$edgeHub": {{"properties.desired": {},
          "properties.desired.routes.leaf": "FROM /* INTO $upstream",
          "properties.desired.storeAndForwardConfiguration.timeToLiveSecs": 9}}}}}})",
      Desired("1.1", R"({"r": "FROM /messages/* INTO $upstream"})")));
  ASSERT_TRUE(settings.ok()) << settings.status();
  ASSERT_EQ(settings->routes.size(), 2u);
  EXPECT_EQ(settings->routes[1].name, "leaf");
  EXPECT_EQ(settings->ttl_seconds, 9);
}

TEST(EdgeHubSettingsTest, ErrorsOfAManifestNameTheWholePath) {
  std::vector<SettingsError> errors;
  EXPECT_FALSE(
      ParseManifest(R"({"modulesContent": {"$edgeHub": {"properties.desired": {"schemaVersion": "3"}}}})", &errors)
          .ok());
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors[0].path, "modulesContent.$edgeHub.properties.desired.schemaVersion");
  EXPECT_FALSE(ParseManifest(R"({"modulesContent": {"$edgeAgent": {}}})", &errors).ok());
  EXPECT_EQ(errors[0].path, "modulesContent.$edgeHub");
  EXPECT_FALSE(ParseManifest(R"({"modulesContent": {"$edgeHub": {}}})", &errors).ok());
  EXPECT_THAT(errors[0].path, HasSubstr("$edgeHub.properties.desired"));
  EXPECT_THAT(ParseManifest("3", &errors).status().message(), Not(IsEmpty()));
}

}  // namespace
}  // namespace holdfast::routes
