// Conditions on properties: the sentences of the IoT Edge contract, C1, C3 and C5, as tables.
#include "lib/routes/condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/routes/test_message.h"

namespace holdfast::routes {
namespace {

constexpr const char* kError = "error";

struct Case {
  const char* condition;
  const char* result;  // true, false, undefined, or kError
};

std::string Result(std::string_view condition, const Message& message, const Options& options = {}) {
  const auto compiled = Condition::Compile(condition, options);
  return compiled.ok() ? std::string(Text(compiled->Evaluate(message))) : kError;
}

template <size_t N>
void Check(const Case (&cases)[N]) {
  const TestMessage message = PropertyMessage();
  for (const auto& [condition, result] : cases) {
    EXPECT_EQ(Result(condition, message), result) << condition;
    // Without the model's mistakes nothing changes for properties.
    EXPECT_EQ(Result(condition, message, {.strict_compat = false}), result) << condition;
  }
}

// C1: "SELECT/FROM/WHERE/INTO/AND/OR/NOT case-insensitive; true false null undefined lower-case only".
TEST(ConditionTest, Keywords) {
  Check({{"true AND true", "true"},
         {"true and true", "true"},
         {"true aNd true", "true"},
         {"false oR true", "true"},
         {"nOt false", "true"},
         {"TRUE", "undefined"},
         {"True AND true", kError},
         {"NULL = 'x'", "undefined"},
         {"from = 'x'", kError},
         {"Into = 'x'", kError}});
}

// C1: "Block comments /* */".
TEST(ConditionTest, Comments) {
  Check(
      {{"/* a */ true /* b */", "true"}, {"3 /* = 4 */ = 3", "true"}, {"true /* open", kError}, {"/**/", "undefined"}});
}

// C1: "Identifier chars: anything except …"; "the lexer takes the longest match, so a-b or 3+4 is one identifier".
TEST(ConditionTest, IdentifiersTakeTheLongestMatch) {
  Check({{"a-b = 'hyphen'", "true"},
         {"3+4 = 'sum'", "true"},
         {"x.y = 'dotted'", "true"},
         {"it's = 'quote'", "true"},
         {"p|q = 'bar'", "true"},
         {"e5 = 'exponent'", "true"},
         {"3+4 = 7", kError},
         {"as_number(count)-1 = 2", kError},
         {"5 -1 = 4", kError},
         {"5 - 1 = 4", "true"},
         {"as_number(count) -as_number(count) = 0", "true"},
         {"3 +4 = 7", "true"},
         {"'a'||nothing = 'a'", "true"},
         {"color!='red'", "undefined"},
         {"color !='blue'", "true"},
         {"color='red'", "true"},
         {"count<'4'", "true"},
         {"'a'||'b' = 'ab'", "true"},
         {"'a' || 'b' = 'ab'", "true"},
         {"color[0] = 'r'", kError},
         {"color:red = 'r'", kError}});
}

// C1: "strings '…' or "…", escapes \" \' \\ \uXXXX; decimal ints (optional leading -), hex 0x…, reals with exponent".
TEST(ConditionTest, Literals) {
  Check({{"'x' = \"x\"", "true"},
         {R"('it\'s' = "it's")", "true"},
         {R"("say \"a\"" = 'say "a"')", "true"},
         {R"('\\' = "\\")", "true"},
         {R"('\u0041\u00e9' = 'Aé')", "true"},
         {R"('\ud834\udd1e' = '𝄞')", "true"},
         {R"('\x' = 'x')", kError},
         {"'open", kError},
         {"color = \"", kError},
         {"-1 < 0", "true"},
         {"-1 = 1 - 2", "true"},
         {"0x1F = 31", "true"},
         {"0XfF = 255", "true"},
         {".5 = 0.5", "true"},
         {"-.5e1 = -5", "true"},
         {"1e6 = 1000000", "true"},
         {"1E+2 = 100", "true"},
         {"25e-1 = 2.5", "true"},
         {"1. = 1", kError},
         {"is_defined(10e1000)", "true"},
         {"10e1000 = 1 / 0", "true"},
         {"1e-1000 = 0", "true"}});
}

// C1: "Operators by precedence, highest first"; "All left-assoc. == is a compile error".
TEST(ConditionTest, Precedence) {
  Check({{"2 + 3 * 4 = 14", "true"},
         {"(2 + 3) * 4 = 20", "true"},
         {"10 - 4 - 3 = 3", "true"},
         {"16 / 4 / 2 = 2", "true"},
         {"7 % 4 * 2 = 6", "true"},
         {"- (1 + 1) * 3 = -6", "true"},
         {"1 < 2 = true", "true"},
         {"1 = 1 = true", "true"},
         {"true OR false AND false", "true"},
         {"(true OR false) AND false", "false"},
         {"NOT true OR true", "true"},
         {"NOT (true OR true)", "false"},
         {"NOT true = false", "true"},
         {"NOT 3 = 4", kError},
         {"'a' || 'b' < 'b'", "true"},
         {"color ?? 'x' = 'red'", kError},
         {"(color ?? 'x') = 'red'", "true"},
         {"3 == 3", kError},
         {"color == 'red'", kError},
         {"3 <> 4", "true"},
         {"3 != 4", "true"},
         {"true && true", kError},
         {"!true", "undefined"}});
}

// C1: names. "bare x -> application property. $x -> application property literally named $x if present, else
// $body.path query, else system property. {$x} -> skips the application-property step".
TEST(ConditionTest, Names) {
  Check({{"color = 'red'", "true"},
         {"COLOR = 'red'", "true"},
         {"$color = 'red'", "undefined"},
         {"messageId = 'm1'", "undefined"},
         {"$messageId = 'm1'", "true"},
         {"$MESSAGEID = 'm1'", "true"},
         {"$mark = 'property'", "true"},
         {"{$mark} = 'system'", "true"},
         {"{ $mark } = 'system'", "true"},
         {"{$color} = 'red'", "undefined"},
         {"{color} = 'red'", kError},
         {"{$mark = 'system'", kError},
         {"as_number($level) = 4", "true"},
         {"is_null($void)", "true"},
         {"$x[0] = 'a'", kError},
         {"is_defined($x[0])", "false"},
         {"NOT IS_DEFINED($connectionModuleId)", "true"},
         {"$connectionDeviceId = 'd1'", "true"}});
}

// C3: "A condition that is a bare number/string literal or empty -> undefined".
TEST(ConditionTest, BareValues) {
  Check({{"", "undefined"},
         {"  \t ", "undefined"},
         {"3", "undefined"},
         {"'text'", "undefined"},
         {"color", "undefined"},
         {"undefined", "undefined"},
         {"as_number(count)", "undefined"},
         {"null", "false"},
         {"true", "true"},
         {"false", "false"}});
}

// C3: "Missing property = undefined; a property present with null value is Null (is_defined true, is_null true,
// 'a'||null_value = 'a')".
TEST(ConditionTest, MissingAndNullProperties) {
  Check({{"is_defined(none)", "false"},
         {"is_defined(nothing)", "true"},
         {"is_null(nothing)", "true"},
         {"is_null(none)", "false"},
         {"is_null(color)", "false"},
         {"is_null(empty)", "false"},
         {"is_string(nothing)", "false"},
         {"is_string(none)", "false"},
         {"'a' || nothing = 'a'", "true"},
         {"concat('a', nothing, 'd') = 'ad'", "true"},
         {"is_defined('a' || none)", "false"},
         {"nothing = 'a'", "false"},
         {"nothing <> 'a'", "true"},
         {"as_number(nothing) = 3", "undefined"},
         {"length(nothing) = 0", "undefined"},
         {"empty = ''", "true"}});
}

// C3: "Static mismatches are compile errors".
TEST(ConditionTest, StaticMismatches) {
  Check({{"3 = color", kError},
         {"color > 3", kError},
         {"true + 3", kError},
         {"'a' + 'b' = 'ab'", kError},
         {"3 + undefined = 3", kError},
         {"is_defined(3 + undefined)", kError},
         {"is_defined(undefined * undefined)", kError},
         {"is_defined(3 % null)", kError},
         {"color and true", kError},
         {"undefined and 'a'", kError},
         {"not color", kError},
         {"-color", kError},
         {"- (color)", kError},
         {"is_defined(-undefined)", "false"},
         {"color = true", kError},
         {"color = null", kError},
         {"3 = '3'", kError},
         {"'a' = undefined", kError},
         {"'a' || 3 = 'a3'", kError},
         {"'a' || null = 'a'", kError},
         {"color ?? 3", kError},
         {"as_number(count) ?? color", kError},
         {"color ?? null", kError},
         {"as_number(count) = 3", "true"}});
}

// C3: "as_number of non-numeric -> undefined; accepts '10e10'; overflow -> infinity".
TEST(ConditionTest, AsNumber) {
  Check({{"as_number('3') = 3", "true"},
         {"AS_NUMBER('10e10') = 10e10", "true"},
         {"as_number('10e1000') = 1/0", "true"},
         {"as_number('10e1000') = 1 / 0", "true"},
         {"as_number('-10e1000') = -1 / 0", "true"},
         {"as_number('10000000000000000000000000') = 1e25", "true"},
         {"as_number(' 12 ') = 12", "true"},
         {"as_number('1,234.5') = 1234.5", "true"},
         {"as_number('(5)') = -5", "true"},
         {"as_number(4) = 4", "true"},
         {"as_number(as_number('4')) = 4", "true"},
         {"as_number(color) = 3", "undefined"},
         {"as_number('') = 0", "undefined"},
         {"as_number('0x10') = 16", "undefined"},
         {"as_number(none) = 3", "undefined"},
         {"as_number('NaN') = 3", "undefined"},
         {"as_number(true) = 1", kError},
         {"as_number(null) = 1", kError}});
}

// C3: "Kleene logic".
TEST(ConditionTest, KleeneLogic) {
  Check({{"undefined or true", "true"},
         {"true or undefined", "true"},
         {"undefined or false", "undefined"},
         {"undefined or undefined", "undefined"},
         {"false and undefined", "false"},
         {"undefined and false", "false"},
         {"true and undefined", "undefined"},
         {"undefined and undefined", "undefined"},
         {"not undefined", "undefined"},
         {"none = 'a' or true", "true"},
         {"none = 'a' and false", "false"},
         {"not (none = 'a')", "undefined"},
         {"none = 'a' or none = 'b' or color = 'red'", "true"},
         {"color = 'red' and count = '3' and none = 'a'", "undefined"}});
}

// C3: "Null in logic: null and null -> false-like (= null true), null or true true, not null true".
TEST(ConditionTest, NullInLogic) {
  Check({{"null and null", "false"},
         {"(null and null) = null", "true"},
         {"(null and true) = null", "true"},
         {"(false and null) = null", "true"},
         {"null or true", "true"},
         {"null or false", "false"},
         {"null or undefined", "undefined"},
         {"(null or null) = null", "true"},
         {"not null", "true"},
         {"null = null", "true"},
         {"null <> null", "false"},
         {"null <= null", "true"}});
}

// C3: "Comparison with an undefined operand -> undefined. String order is ordinal".
TEST(ConditionTest, Comparison) {
  Check({{"none = 'a'", "undefined"},
         {"none <> 'a'", "undefined"},
         {"'a' < none", "undefined"},
         {"as_number(none) >= 3", "undefined"},
         {"undefined < undefined", "undefined"},
         {"'B' < 'a'", "true"},
         {"'a' < 'ab'", "true"},
         {"'10' < '9'", "true"},
         {"'z' < 'é'", "true"},
         {"4 >= 4", "true"},
         {"4 > 4", "false"},
         {"false < true", "true"},
         {"true <> false", "true"}});
}

// C3: "3 / 0 = infinity (defined); 3 % 0 undefined; sqrt(-4) undefined".
TEST(ConditionTest, NumbersOutOfRange) {
  Check({{"is_defined(3 / 0)", "true"},
         {"3 / 0 = 4 / 0", "true"},
         {"-3 / 0 < 0", "true"},
         {"is_defined(0 / 0)", "false"},
         {"is_defined(3 % 0)", "false"},
         {"is_defined(sqrt(-4))", "false"},
         {"sqrt(-4) = -2", "undefined"},
         {"exp(4000) = 3 / 0", "true"},
         {"power(10, 4000) = 3 / 0", "true"}});
}

// C3: "??: first defined operand".
TEST(ConditionTest, Coalesce) {
  Check({{"(none ?? 'hello') = 'hello'", "true"},
         {"(color ?? 'hello') = 'red'", "true"},
         {"(none ?? none ?? 'hello') = 'hello'", "true"},
         {"(as_number(color) ?? 12.34) = 12.34", "true"},
         {"(3 % 0 ?? 12.34) = 12.34", "true"},
         {"(none ?? none) = 'x'", "undefined"},
         {"undefined ?? undefined", "undefined"},
         {"is_null(nothing ?? 'x')", "true"},
         {"(none = 'a') ?? true", "true"}});
}

// C5: "type: as_number(x), is_bool, is_defined, is_null, is_number, is_string", any case.
TEST(ConditionTest, TypeFunctions) {
  Check({{"is_bool(true)", "true"},
         {"IS_BOOL(3 = 3)", "true"},
         {"is_bool(color)", "false"},
         {"is_bool(none)", "false"},
         {"is_number(12.34)", "true"},
         {"is_number(as_number(count))", "true"},
         {"is_number(as_number(color))", "false"},
         {"is_number(3 / 0)", "false"},
         {"is_number(count)", "false"},
         {"is_string(color)", "true"},
         {"is_string('a' || 'b')", "true"},
         {"is_string(12.34)", "false"},
         {"is_null(null)", "true"},
         {"is_null(3)", "false"},
         {"is_defined(null)", "true"},
         {"is_defined(undefined)", "false"},
         {"is_defined(undefined and true)", "false"},
         {"is_defined()", kError},
         {"is_defined(color, count)", kError}});
}

// C5: "math: abs exp power(x,y) square ceiling floor sign sqrt".
TEST(ConditionTest, MathFunctions) {
  Check({{"abs(-12) = 12", "true"},
         {"exp(0) = 1", "true"},
         {"abs(exp(1) - 2.718281) < 1e-6", "true"},
         {"power(2, 3) = 8", "true"},
         {"POWER(as_number(count), as_number(count)) = 27", "true"},
         {"square(3) = 9", "true"},
         {"ceiling(2.1) = 3", "true"},
         {"ceiling(-2.1) = -2", "true"},
         {"floor(2.1) = 2", "true"},
         {"floor(-2.1) = -3", "true"},
         {"sign(-2.1) = -1", "true"},
         {"sign(0) = 0", "true"},
         {"sign(3 / 0) = 1", "true"},
         {"sqrt(4) = 2", "true"},
         {"is_defined(abs(3 % 0))", "false"},
         {"is_defined(power(2, 3 % 0))", "false"},
         {"is_defined(abs(color))", kError},
         {"is_defined(abs(null))", kError},
         {"is_defined(abs(3, 4))", kError},
         {"is_defined(power(2))", kError}});
}

// C5: "string: concat(a,b,…) (>=2), length lower upper substring index_of starts_with ends_with contains", and
// "Edge semantics from tests".
TEST(ConditionTest, TextFunctions) {
  Check({{"concat('a', color, 'd') = 'aredd'", "true"},
         {"concat('a') = 'a'", kError},
         {"concat('a', 3) = 'a3'", kError},
         {"length('HELLO') = 5", "true"},
         {"length('') = 0", "true"},
         {"length(umlaut) = 5", "true"},
         {"length(clef) = 4", "true"},
         {"length(null)", "undefined"},
         {"is_defined(length(null))", "false"},
         {"is_defined(lower(null))", "false"},
         {"lower(null) = 'a'", kError},
         {"length(undefined) = 1", kError},
         {"lower(Shout) = 'loud'", "true"},
         {"upper(color) = 'RED'", "true"},
         {"upper(umlaut) = 'GRÖßE'", "true"},
         {"is_defined(lower(nothing))", "false"},
         {"substring('abc', 1) = 'bc'", "true"},
         {"substring('abc', 3) = ''", "true"},
         {"substring('abc', 4) = ''", "undefined"},
         {"substring('abc', -1) = ''", "undefined"},
         {"substring('abc', 1 % 0) = ''", "undefined"},
         {"substring('abc', 1, 1) = 'b'", "true"},
         {"substring('abc', 1, 0) = ''", "true"},
         {"substring('abc', 1, -2) = ''", "undefined"},
         {"substring('abc', 1, 3) = 'bc'", "undefined"},
         {"substring('abc', 0, 3) = 'abc'", "true"},
         {"substring(umlaut, 2, 2) = 'öß'", "true"},
         {"substring(nothing, 0) = ''", "undefined"},
         {"index_of('abcdef', 'cd') = 2", "true"},
         {"index_of('abc', 'x') = -1", "true"},
         {"index_of(umlaut, 'ß') = 3", "true"},
         {"index_of(nothing, '1') = 0", "undefined"},
         {"index_of(null, 'a') = 0", kError},
         {"starts_with(color, 're')", "true"},
         {"starts_with(color, 'RE')", "false"},
         {"starts_with(none, 'a')", "undefined"},
         {"ends_with(color, 'ed')", "true"},
         {"contains(color, 'e')", "true"},
         {"contains('abc', nothing)", "undefined"},
         {"contains('abc')", kError},
         {"no_such(color)", kError}});
}

// C5: "twin_change_includes(path) … never compile[s] in edgeHub routes".
TEST(ConditionTest, TwinChangeIncludesNeverCompiles) {
  Check({{"twin_change_includes(properties.reported.x)", kError}, {"TWIN_CHANGE_INCLUDES('x')", kError}});
}

TEST(ConditionTest, WarnsOfNamesThatWereMeantAsOperators) {
  const auto warnings = [](std::string_view text) { return Condition::Compile(text)->Warnings().size(); };
  EXPECT_EQ(warnings("'a'||'b' = 'ab'"), 0u);
  EXPECT_EQ(warnings("color!='red'"), 1u);
  EXPECT_EQ(warnings("3+4 = 'x'"), 1u);
  EXPECT_EQ(warnings("5-1 = 'x'"), 1u);
  EXPECT_EQ(warnings("color = 'red' AND a-b = 'x'"), 0u);
}

}  // namespace
}  // namespace holdfast::routes
