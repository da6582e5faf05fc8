// Queries of the body: the sentences of the IoT Edge contract, C4.
#include <gtest/gtest.h>

#include "lib/routes/condition.h"
#include "lib/routes/message_body.h"
#include "lib/routes/test_message.h"

namespace holdfast::routes {
namespace {

constexpr const char* kError = "error";
constexpr char kBody[] = R"({"temp": 50, "cold": -50.4, "on": true, "off": false, "none": null, "name": "pump",
  "time": "2017-03-09T00:00:00.000Z", "day": "2017-03-09", "list": [20, 30, 40], "nested": {"City": "Redmond",
  "rows": [{"month": "Feb", "t": 40}, {"month": "Jan", "t": 30}]}, "Temp": 7, "a b": 1, "clash": 50, "x*y": 1})";

struct Case {
  const char* condition;
  const char* result;
};

std::string Result(std::string_view condition, const Message& message, const Options& options = {}) {
  const auto compiled = Condition::Compile(condition, options);
  return compiled.ok() ? std::string(Text(compiled->Evaluate(message))) : kError;
}

TestMessage Queryable() {
  TestMessage message = BodyMessage(kBody);
  message.properties = {{"$body.clash", "100"}, {"city", "Redmond"}};
  return message;
}

template <size_t N>
void Check(const Case (&cases)[N], const Options& options = {}) {
  const TestMessage message = Queryable();
  for (const auto& [condition, result] : cases) EXPECT_EQ(Result(condition, message, options), result) << condition;
}

// "$body prefix case-insensitive; path is a JSONPath subset (dots and [n]; no slices, no wildcards; [] or [1:2] ->
// compile error); keys case-sensitive".
TEST(BodyQueryTest, Paths) {
  Check({{"$body.temp = 50", "true"},
         {"$BODY.temp = 50", "true"},
         {"$bOdY.Temp = 7", "true"},
         {"$body.TEMP = null", "true"},
         {"$body.nested.City = 'Redmond'", "true"},
         {"$body.list[1] = 30", "true"},
         {"$body.nested.rows[1].month = 'Jan'", "true"},
         {"$body.nested.rows[0].t - 10 = $body.nested.rows[1].t", "true"},
         {"$body.list[9] = null", "true"},
         {"$body.list[]", kError},
         {"$body.list[1:2]", kError},
         {"$body.list[*]", kError},
         {"$body.list[-1]", kError},
         {"$body.list[0][1] = 1", kError},
         {"$body.list[0]x = 1", kError},
         {"$body.*", kError},
         {"$body.x*y = 1", "true"},
         {"$body.", kError},
         {"$body..temp", kError},
         {"$body;@", kError},
         {"$body", "undefined"},
         {"$body[0]", "undefined"}});
}

// "Needs contentType exactly application/json (case-insensitive, no charset suffix) and contentEncoding
// utf-8/utf-16/utf-32; otherwise body is undefined".
TEST(BodyQueryTest, ContentTypeAndEncoding) {
  struct Row {
    std::optional<std::string> type, encoding;
    const char* result;
  };
  const Row rows[] = {{"application/json", "utf-8", "true"},
                      {"Application/JSON", "UTF-8", "true"},
                      {"application/json; charset=utf-8", "utf-8", "undefined"},
                      {"text/json", "utf-8", "undefined"},
                      {"application/json", "utf8", "undefined"},
                      {"application/json", std::nullopt, "undefined"},
                      {std::nullopt, "utf-8", "undefined"}};
  for (const Row& row : rows) {
    TestMessage message = Queryable();
    message.system_properties = {{"contentType", row.type}, {"contentEncoding", row.encoding}};
    EXPECT_EQ(Result("$body.temp = 50", message), row.result) << row.type.value_or("-") << row.encoding.value_or("-");
  }
  TestMessage message = Queryable();
  message.system_properties.clear();
  EXPECT_EQ(Result("$body.temp = 50", message), "undefined");
}

TEST(BodyQueryTest, Utf16AndUtf32) {
  const std::string text = "{\"k\": 1}";
  for (const size_t width : {2u, 4u}) {
    for (const bool big : {false, true}) {
      std::string bytes;
      if (big) bytes += width == 2 ? std::string("\xFE\xFF") : std::string("\0\0\xFE\xFF", 4);
      for (const char c : text) {
        std::string unit(width, '\0');
        unit[big ? width - 1 : 0] = c;
        bytes += unit;
      }
      TestMessage message = BodyMessage(bytes);
      message.system_properties[1].second = width == 2 ? "utf-16" : "UTF-32";
      EXPECT_EQ(Result("$body.k = 1", message), "true") << width << big;
    }
  }
  EXPECT_EQ(Utf16ToUtf8(std::string("\x34\xD8\x1E\xDD", 4)), "\U0001D11E");
  EXPECT_EQ(Utf16ToUtf8(std::string("\x34\xD8\x41\x00", 4)), "\uFFFDA");
  EXPECT_EQ(Utf32ToUtf8(std::string("\x1E\xD1\x01\x00", 4)), "\U0001D11E");
}

TEST(BodyQueryTest, WhatIsNoJsonObjectIsUndefined) {
  for (const char* body : {"", "not json", "[1]", "3", "{\"temp\": 50", "{\"temp\": \"\xFF\"}"}) {
    EXPECT_EQ(Result("$body.temp = 50", BodyMessage(body)), "undefined") << body;
    EXPECT_EQ(Result("is_defined($body.temp)", BodyMessage(body)), "false") << body;
  }
}

// "Missing path -> Null … but (child of scalar) is undefined. Object/array results -> undefined in comparisons".
TEST(BodyQueryTest, MissingNullAndObjects) {
  Check({{"$body.missing = null", "true"},
         {"$body.missing <> null", "false"},
         {"$body.missing.deeper = null", "true"},
         {"is_defined($body.missing)", "true"},
         {"$body.none = null", "true"},
         {"$body.none.deeper = null", "true"},
         {"$body.temp <> null", "true"},
         {"$body.temp.child = null", "undefined"},
         {"$body.nested.rows[0].t.child", "undefined"},
         {"is_defined($body.name.child)", "false"},
         {"$body.nested <> null", "undefined"},
         {"$body.list = null", "undefined"},
         {"is_defined($body.nested)", "false"},
         {"$body.missing", "undefined"},
         {"$city <> $body.missing", "undefined"}});
}

// "strings that look like ISO dates … become undefined".
TEST(BodyQueryTest, Dates) {
  Check({{"$body.time <> '100'", "undefined"},
         {"is_defined($body.time)", "false"},
         {"$body.day = '2017-03-09'", "true"}});
  Check({{"$body.time <> '100'", "true"},
         {"$body.time = '2017-03-09T00:00:00.000Z'", "true"},
         {"starts_with($body.time, '2017-03')", "true"}},
        {.strict_compat = false});
}

// "No cross-type conversion … different types compare by type rank (None<Bool<Double<String<Null<Object) …
// Arithmetic on non-numbers -> undefined".
TEST(BodyQueryTest, Types) {
  Check({{"$body.temp = '50'", "false"},
         {"$body.temp <> '50'", "true"},
         {"$body.missing <> '100'", "true"},
         {"$body.on < $body.temp", "true"},
         {"$body.temp < '1'", "true"},
         {"$body.name < null", "true"},
         {"$body.missing > 'zzz'", "true"},
         {"$body.on = true", "true"},
         {"$body.off <> true", "true"},
         {"$body.temp = 40 + 10", "true"},
         {"$body.temp >= $body.list[0]", "true"},
         {"$body.list[0] + $body.list[1] = 50", "true"},
         {"$body.list[1] / $body.list[0] = 1.5", "true"},
         {"$body.temp % 7 = 1", "true"},
         {"- $body.temp = -50", "true"},
         {"$body.name + 1 = 2", "undefined"},
         {"$body.missing + 1 = 1", "undefined"},
         {"$body.temp = undefined", kError},
         {"$body.nested.City = city", "true"}});
}

TEST(BodyQueryTest, Logic) {
  Check({{"$body.on", "true"},
         {"$body.off", "false"},
         {"$body.temp", "undefined"},
         {"NOT $body.off", "true"},
         {"NOT $body.temp", "undefined"},
         {"NOT $body.missing", "undefined"},
         {"$body.on AND $body.on", "true"},
         {"$body.off OR NOT($body.off)", "true"},
         {"true AND $body.on", "true"},
         {"$body.missing OR true", "true"},
         {"$body.missing AND true", "undefined"},
         {"($body.missing ?? 3) = null", "true"},
         {"($body.temp.child ?? 3) = 3", "true"}});
}

// "an application property literally called $body.message… wins over the body".
TEST(BodyQueryTest, PropertyOfTheSameNameWins) {
  Check({{"$body.clash = '100'", "true"}, {"as_number($body.clash) = 100", "true"}, {"{$body.clash} = 50", "true"}});
}

TEST(BodyQueryTest, Functions) {
  Check({{"abs($body.cold) = 50.4", "true"},
         {"ceiling(as_number($body.cold)) = -50", "true"},
         {"concat($body.name, '-', $body.nested.City) = 'pump-Redmond'", "true"},
         {"is_defined(concat($body.name, $body.missing))", "false"},
         {"length($body.name) = 4", "true"},
         {"length($body.temp) = 2", "undefined"},
         {"upper($body.name) = 'PUMP'", "true"},
         {"substring($body.name, length($body.name) - 2) = 'mp'", "true"},
         {"is_string($body.name)", "true"},
         {"is_number($body.temp)", "true"},
         {"is_bool($body.on)", "true"},
         {"is_bool($body.temp)", "false"},
         {"power($body.temp, 2) = 2500", "true"},
         {"abs($body.name) = 1", "undefined"}});
}

// "is_null($body.x) is unreliable (reference compare; true for some non-null values)".
TEST(BodyQueryTest, IsNull) {
  Check({{"is_null($body.none)", "true"},
         {"is_null($body.temp)", "true"},
         {"is_null($body.missing)", "false"},
         {"is_null($body.temp.child)", "undefined"}});
  Check({{"is_null($body.none)", "true"},
         {"is_null($body.temp)", "false"},
         {"is_null($body.missing)", "true"},
         {"is_null($body.temp.child)", "false"}},
        {.strict_compat = false});
}

TEST(BodyQueryTest, BodyIsParsedOnceForSeveralConditions) {
  const TestMessage message = Queryable();
  MessageBody body(message);
  const auto one = Condition::Compile("$body.temp = 50 AND $body.on");
  const auto two = Condition::Compile("$body.name = 'pump'");
  EXPECT_EQ(body.parse_count(), 0);
  EXPECT_EQ(one->Evaluate(message, body), Truth::kTrue);
  EXPECT_EQ(two->Evaluate(message, body), Truth::kTrue);
  EXPECT_EQ(body.parse_count(), 1);
  EXPECT_TRUE(one->looks_at_body());
  EXPECT_FALSE(Condition::Compile("a = 'b'")->looks_at_body());
}

}  // namespace
}  // namespace holdfast::routes
