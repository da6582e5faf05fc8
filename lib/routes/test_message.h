// A message for tests and benchmarks. Looking at it allocates nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/routes/message.h"
#include "lib/routes/text.h"

namespace holdfast::routes {

// Not thread-safe.
struct TestMessage : public Message {
  // nullopt = null
  using Properties = std::vector<std::pair<std::string, std::optional<std::string>>>;

  std::string source_text = std::string(kLeafSource);
  Properties properties;
  Properties system_properties;
  std::string body_text;

  std::string_view source() const override { return source_text; }
  Property ApplicationProperty(std::string_view key) const override { return Find(properties, key); }
  Property SystemProperty(std::string_view name) const override { return Find(system_properties, name); }
  std::string_view body() const override { return body_text; }

  static Property Find(const Properties& properties, std::string_view key) {
    for (const auto& [name, value] : properties) {
      if (EqualsIgnoringCase(name, key)) return value ? Property::Text(*value) : Property::Null();
    }
    return Property::Absent();
  }
};

// What the tables of conditions in the tests are evaluated on.
inline TestMessage PropertyMessage() {
  TestMessage message;
  message.properties = {{"color", "red"},      {"count", "3"},          {"Shout", "LOUD"},  {"nothing", std::nullopt},
                        {"$mark", "property"}, {"a-b", "hyphen"},       {"3+4", "sum"},     {"x.y", "dotted"},
                        {"it's", "quote"},     {"p|q", "bar"},          {"e5", "exponent"}, {"empty", ""},
                        {"umlaut", "Größe"},   {"clef", "a\U0001D11Eb"}};
  message.system_properties = {{"messageId", "m1"}, {"contentType", "text/plain"}, {"mark", "system"},
                               {"level", "4"},      {"connectionDeviceId", "d1"},  {"void", std::nullopt}};
  return message;
}

inline TestMessage BodyMessage(std::string body) {
  TestMessage message;
  message.system_properties = {{"contentType", "application/json"}, {"contentEncoding", "utf-8"}};
  message.body_text = std::move(body);
  return message;
}

}  // namespace holdfast::routes
