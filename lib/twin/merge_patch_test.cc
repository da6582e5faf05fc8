#include "lib/twin/merge_patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/twin/random_json.h"

namespace holdfast::twin {
namespace {

using ::testing::ElementsAre;

json J(std::string_view text) {
  return json::parse(text);
}

// RFC 7386, appendix A: those whose document and patch are objects.
TEST(MergePatchTest, AppliesTheExamplesOfTheRfc) {
  const struct {
    const char* document;
    const char* patch;
    const char* result;
  } kExamples[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const auto& example : kExamples) {
    EXPECT_EQ(Applied(J(example.document), J(example.patch)), J(example.result)) << example.document << example.patch;
  }
}

TEST(MergePatchTest, ReadsObjectsOnlyAndNoneThatIsTooDeep) {
  EXPECT_TRUE(ParseObject(R"({"a":"[[[{{{\"[["})").has_value());
  EXPECT_FALSE(ParseObject("").has_value());
  EXPECT_FALSE(ParseObject("[]").has_value());
  EXPECT_FALSE(ParseObject("{\"a\":\"\xff\"}").has_value());
  EXPECT_FALSE(ParseObject(R"({"a":1} x)").has_value());
  EXPECT_FALSE(ParseObject(std::string(200'000, '[')).has_value());
  const std::string deep = std::string(kParseDepthMax - 1, '[') + std::string(kParseDepthMax - 1, ']');
  EXPECT_TRUE(ParseObject("{\"a\":" + deep + "}").has_value());
  EXPECT_FALSE(ParseObject("{\"a\":[" + deep + "]}").has_value());
}

TEST(MergePatchTest, DifferenceNamesOnlyWhatDiffers) {
  EXPECT_EQ(
      Difference(J(R"({"a":1,"b":{"c":1,"d":2},"e":[1],"f":{}})"), J(R"({"b":{"c":1,"d":3,"g":4},"e":[1,2],"f":{}})")),
      J(R"({"a":null,"b":{"d":3,"g":4},"e":[1,2]})"));
}

// P10: what the hub is told in one patch is what the client reported in several.
TEST(MergePatchTest, ComposedPatchesDoWhatTheyDoOneAfterTheOther) {
  // An object in the place of another one: what it had has to be named.
  EXPECT_EQ(Composed(J(R"({"a":null})"), J(R"({"a":{"b":1}})"), J(R"({"a":{"c":2}})")), J(R"({"a":{"b":1,"c":null}})"));
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    RandomJson random(seed);
    const json document = random.Document();
    const json first = random.Patch();
    const json second = random.Patch();
    const json third = random.Patch();
    const json after = Applied(Applied(Applied(document, first), second), third);
    const json composed = Composed(Composed(first, second, document), third, document);
    ASSERT_EQ(Applied(document, composed), after) << seed;
    ASSERT_EQ(Applied(document, WithoutNeedlessNulls(composed, document)), after) << seed;
    ASSERT_EQ(Applied(document, Difference(document, after)), after) << seed;
  }
}

TEST(MergePatchTest, NullsOfWhatIsNotThereAreLeftOut) {
  EXPECT_EQ(WithoutNeedlessNulls(J(R"({"a":null,"b":null,"c":{"d":null,"e":null,"f":1},"g":[null]})"),
                                 J(R"({"a":1,"c":{"d":2}})")),
            J(R"({"a":null,"c":{"d":null,"f":1},"g":[null]})"));
}

TEST(MergePatchTest, KeysOfBothHasEachKeyThatMayBeThere) {
  EXPECT_EQ(KeysOfBoth(J(R"({"a":1,"b":{"c":1},"d":{"e":1}})"), J(R"({"a":null,"b":{"f":2},"d":5,"g":6})")),
            J(R"({"a":1,"b":{"c":1,"f":2},"d":{"e":1},"g":6})"));
}

// P10: the hub wins, node by node.
TEST(MergePatchTest, RebasedKeepsTheNodesThatDidNotChange) {
  std::vector<std::string> conflicts;
  const auto rebased = [&conflicts](std::string_view local, std::string_view base, std::string_view next) {
    conflicts.clear();
    return Rebased(J(local), J(base), J(next), [&conflicts](std::string path) { conflicts.push_back(path); });
  };
  EXPECT_EQ(rebased(R"({"a":1,"b":{"x":1,"y":2}})", R"({"a":0,"b":{"x":0}})", R"({"a":0,"b":{"x":5}})"),
            J(R"({"a":1,"b":{"y":2}})"));
  EXPECT_THAT(conflicts, ElementsAre("b.x"));
  // The hub says the same now: no conflict.
  EXPECT_EQ(rebased(R"({"a":1,"b":null})", R"({"a":0,"b":1})", R"({"a":1})"), J("{}"));
  EXPECT_THAT(conflicts, ElementsAre());
  // The hub deleted the object, or made something else of it.
  EXPECT_EQ(rebased(R"({"a":{"x":1},"b":{"x":1}})", R"({"a":{"y":1},"b":{"y":1}})", R"({"b":7})"), J("{}"));
  EXPECT_THAT(conflicts, ElementsAre("a", "b"));
  // The hub changed something within what was deleted, or replaced, here.
  EXPECT_EQ(rebased(R"({"a":null,"b":5})", R"({"a":{"y":1},"b":{"y":1}})", R"({"a":{"y":2},"b":{"y":2}})"), J("{}"));
  EXPECT_THAT(conflicts, ElementsAre("a", "b"));
  // The hub's first word: what it doesn't speak of stays.
  EXPECT_EQ(rebased(R"({"a":1,"b":{"x":1}})", R"({})", R"({"b":{"y":1}})"), J(R"({"a":1,"b":{"x":1}})"));
  EXPECT_THAT(conflicts, ElementsAre());
}

}  // namespace
}  // namespace holdfast::twin
