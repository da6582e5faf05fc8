// What docs/routes.md shows is so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "lib/routes/edgehub_settings.h"
#include "lib/routes/test_message.h"

namespace holdfast::routes {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The lines of all boxes of the page, by the word behind their fence.
const std::map<std::string, std::vector<std::string>>& Boxes() {
  static const auto* const boxes = [] {
    auto* const made = new std::map<std::string, std::vector<std::string>>;
    std::ifstream page(HOLDFAST_SOURCE_DIR "/docs/routes.md");
    std::string kind;
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("```")) {
        inside = !inside;
        kind = line.substr(3);
      } else if (inside) {
        (*made)[kind].push_back(line);
      }
    }
    return made;
  }();
  return *boxes;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

TestMessage Example() {
  const nlohmann::json json = nlohmann::json::parse(Joined(Boxes().at("json")));
  TestMessage message;
  const auto read = [&json](const char* key, TestMessage::Properties* properties) {
    for (const auto& [name, value] : json.at(key).items()) {
      properties->emplace_back(name, value.is_null() ? std::nullopt : std::optional(value.get<std::string>()));
    }
  };
  read("properties", &message.properties);
  read("systemProperties", &message.system_properties);
  message.body_text = json.at("body").get<std::string>();
  return message;
}

// The comment that ends a line: the expected result, with a remark behind a colon.
std::string Comment(const std::string& line) {
  const size_t begin = line.rfind("/* ") + 3;
  return line.substr(begin, line.rfind(" */") - begin);
}

void CheckConditions(const char* kind, const Options& options) {
  ASSERT_THAT(Boxes().at(kind), Not(IsEmpty()));
  const TestMessage message = Example();
  for (const std::string& line : Boxes().at(kind)) {
    const auto condition = Condition::Compile(line, options);
    ASSERT_TRUE(condition.ok()) << line << condition.status();
    const std::string comment = Comment(line);
    EXPECT_EQ(Text(condition->Evaluate(message)), comment.substr(0, comment.find(':'))) << line;
  }
}

TEST(RoutesDocumentTest, Conditions) {
  CheckConditions("conditions", {});
  CheckConditions("lenient", {.strict_compat = false});
}

TEST(RoutesDocumentTest, ErrorsHaveTheHintsThatItShows) {
  for (const std::string& line : Boxes().at("errors")) {
    EXPECT_THAT(std::string(Condition::Compile(line).status().message()), HasSubstr(Comment(line))) << line;
  }
}

TEST(RoutesDocumentTest, Routes) {
  for (const std::string& line : Boxes().at("routes")) {
    const auto route = Route::Compile(line);
    ASSERT_TRUE(route.ok()) << line << route.status();
    EXPECT_THAT(route->warnings, IsEmpty()) << line;
  }
}

TEST(RoutesDocumentTest, Settings) {
  const auto settings = ParseManifest(Joined(Boxes().at("settings")));
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_THAT(settings->routes, SizeIs(2));
  EXPECT_TRUE(RouteTable::Compile(settings->routes).ok());
}

}  // namespace
}  // namespace holdfast::routes
