// What is said about a route that does not compile: where, what was expected, what to write instead. And the limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/routes/condition.h"
#include "lib/routes/route.h"
#include "lib/routes/test_message.h"

namespace holdfast::routes {
namespace {

using ::testing::HasSubstr;

struct Case {
  std::string text;
  int column;
  const char* message;
  const char* hint;
};

TEST(CompileErrorTest, OfConditions) {
  const Case cases[] = {
      {"color == 'red'", 7, "'==' is no operator", "use ="},
      {"3 = color", 5, "property color, which is text", "use as_number(color)"},
      {"1 + $level > 2", 5, "property $level", "use as_number($level)"},
      {"color = null", 1, "text and null", "use is_null(color)"},
      {"color = true", 1, "a truth value", "color = 'true'"},
      {"color = undefined", 1, "undefined", "use is_defined(color)"},
      {"ü = 'x' AND color AND true", 13, "AND takes a truth value", "is_defined(color)"},
      {"NOT color = 'x'", 5, "NOT takes a truth value", "NOT (color = 'value')"},
      {"NOT True", 5, "NOT takes", "lower case"},
      {"'a' + 'b' = 'ab'", 1, "+ takes a number", "use || to join texts"},
      {"true || false", 1, "|| takes text", "use OR"},
      {"color ?? 'x' = 'y'", 10, "?? chooses", "(a ?? 'b') = 'c'"},
      {"true && false", 6, "expected an operator", "use AND"},
      {"true !false", 6, "expected an operator", "use NOT"},
      {"5 -1 = 4", 3, "expected an operator", "blanks on both sides"},
      {"color = 'red", 9, "without a closing quote", ""},
      {"(color = 'red'", 1, "'(' without a ')'", ""},
      {"length(color = 'a'", 1, "length( without a ')'", ""},
      {"(2 + 22)) = 24", 9, "')' without a '('", ""},
      {"lenght(color) = 3", 1, "'lenght' is no function", "length"},
      {"substring(color) = 'r'", 1, "substring takes 2 or 3 arguments, found 1", "substring(text, start[, length])"},
      {"concat('a') = 'a'", 1, "concat takes 2 arguments or more, found 1", ""},
      {"abs(color) = 1", 5, "abs takes a number", "use as_number(color)"},
      {"$body.a[1:2] = 1", 8, "expected a number in [ ]", ""},
      {"$body.a[] = 1", 8, "expected a number in [ ]", ""},
      {"$body.a.* = 1", 9, "wildcards", ""},
      {"a[0] = 'x'", 1, "body queries only", "$body.a[0]"},
      {"color = @", 9, "instead of '@'", ""},
      {"color = 'a' ; b", 13, "has no meaning", ""},
      {"color =", 8, "instead of the end", ""},
      {"twin_change_includes(a)", 1, "can't be used", "is_defined($body.properties.reported"},
  };
  for (const Case& test : cases) {
    CompileError error;
    const auto compiled = Condition::Compile(test.text, {}, &error);
    ASSERT_FALSE(compiled.ok()) << test.text;
    EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(error.column, test.column) << test.text << ": " << error.Text();
    EXPECT_THAT(error.message, HasSubstr(test.message)) << test.text;
    EXPECT_THAT(error.hint, HasSubstr(test.hint)) << test.text;
    EXPECT_EQ(std::string(compiled.status().message()), error.Text());
  }
}

TEST(CompileErrorTest, OfRoutes) {
  const Case cases[] = {
      {"", 1, "expected FROM", "FROM source [WHERE condition] INTO sink"},
      {"SELECT a FROM /messages/* INTO $upstream", 8, "expected * behind SELECT", ""},
      {"SELECT * /messages/* INTO $upstream", 10, "expected FROM", ""},
      {"FROM messages INTO $upstream", 6, "expected a source", "FROM /messages/*"},
      {"FROM /messages/ INTO $upstream", 17, "expected a name or * behind '/'", ""},
      {"FROM /messages/* color = 'a' INTO $upstream", 18, "expected WHERE or INTO", ""},
      {"FROM /messages/* WHERE color = 3 INTO $upstream", 24, "= compares", "as_number(color)"},
      {"FROM /messages/* WHERE color = 'a' $upstream", 36, "or INTO instead of '$upstream'", ""},
      {"FROM /messages/*", 17, "expected WHERE or INTO", ""},
      {"FROM /messages/* INTO $cloud", 23, "expected a sink", "$upstream"},
      {"FROM /messages/* INTO upstream", 23, "expected a sink", "$upstream"},
      {"FROM /messages/* INTO $upstream, $upstream", 32, "expected the end", "one sink"},
      {"FROM /messages/* INTO BrokeredEndpoint '/modules/m/inputs/i'", 40, "expected (", ""},
      {"FROM /messages/* INTO BrokeredEndpoint(m)", 40, "an address in quotes", ""},
      {"FROM /messages/* INTO BrokeredEndpoint('/modules/m/inputs')", 40, "an address of a module's input", ""},
      {"FROM /messages/* INTO BrokeredEndpoint('/modules/m/inputs/i/')", 40, "an address", ""},
      {"FROM /messages/* INTO BrokeredEndpoint('/modules//inputs/i')", 40, "an address", ""},
      {"FROM /messages/* INTO BrokeredEndpoint('modules/m/inputs/i')", 40, "an address", ""},
      {"FROM /messages/* INTO BrokeredEndpoint('/devices/d/outbox')", 40, "an address", "inbox"},
      {"FROM /messages/* INTO BrokeredEndpoint('/devices/d/inbox'", 58, "expected )", ""},
      {"FROM /* WHERE a = '1' /* c */ INTO $upstream", 31, "expected a source", ""},
  };
  for (const Case& test : cases) {
    CompileError error;
    ASSERT_FALSE(Route::Compile(test.text, {}, &error).ok()) << test.text;
    EXPECT_EQ(error.column, test.column) << test.text << ": " << error.Text();
    EXPECT_THAT(error.message, HasSubstr(test.message)) << test.text;
    EXPECT_THAT(error.hint, HasSubstr(test.hint)) << test.text;
  }
}

std::string Repeat(std::string_view part, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += part;
  return out;
}

bool Compiles(const std::string& condition) {
  return Condition::Compile(condition).ok();
}

TEST(CompileErrorTest, Limits) {
  // kRouteBytesMax
  EXPECT_TRUE(Compiles("true" + std::string(kRouteBytesMax - 4, ' ')));
  EXPECT_FALSE(Compiles("true" + std::string(kRouteBytesMax - 3, ' ')));
  EXPECT_FALSE(Route::Compile("FROM /messages/* INTO $upstream" + std::string(kRouteBytesMax, ' ')).ok());
  // kNestingMax, by parentheses, signs, calls, and operators to the left.
  EXPECT_TRUE(Compiles(Repeat("(", kNestingMax) + "true" + Repeat(")", kNestingMax)));
  EXPECT_FALSE(Compiles(Repeat("(", kNestingMax + 1) + "true" + Repeat(")", kNestingMax + 1)));
  EXPECT_FALSE(Compiles(Repeat("(", 5000) + "true"));
  EXPECT_FALSE(Compiles(Repeat("NOT ", 1000) + "true"));
  EXPECT_FALSE(Compiles(Repeat("abs(", 1000)));
  EXPECT_TRUE(Compiles("1" + Repeat(" + 1", kNestingMax - 2) + " = 1"));
  EXPECT_FALSE(Compiles("1" + Repeat(" + 1", kNestingMax + 1) + " = 1"));
  // kOperandsMax: chains are one level.
  EXPECT_TRUE(Compiles("true" + Repeat(" OR true", kOperandsMax - 1)));
  EXPECT_FALSE(Compiles("true" + Repeat(" OR true", kOperandsMax)));
  EXPECT_FALSE(Compiles("concat(''" + Repeat(",''", kOperandsMax) + ") = ''"));
  // kPathStepsMax
  EXPECT_TRUE(Compiles("$body.a" + Repeat(".a", 63) + " = 1"));
  EXPECT_FALSE(Compiles("$body.a" + Repeat(".a", 64) + " = 1"));
}

}  // namespace
}  // namespace holdfast::routes
