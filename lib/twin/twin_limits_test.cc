#include "lib/twin/twin_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/twin/merge_patch.h"
#include "lib/twin/twin_record.h"

namespace holdfast::twin {
namespace {

using ::testing::HasSubstr;

std::string Error(const json& patch) {
  return std::string(CheckPatch(patch).message());
}
std::string ErrorOfText(std::string_view patch) {
  return Error(json::parse(patch));
}

TEST(TwinLimitsTest, DepthIsLimited) {
  json at_most = 1;
  for (size_t i = 0; i < kDepthMax; ++i) at_most = json{{"d", at_most}};
  EXPECT_EQ(Error(at_most), "");
  EXPECT_EQ(Error(json{{"d", at_most}}), "d.d.d.d.d.d.d.d.d.d.d: deeper than 10 levels");
}

TEST(TwinLimitsTest, NamesAreLimited) {
  EXPECT_EQ(ErrorOfText(R"({"a-b_c:d/e":1,"ä":2})"), "");
  EXPECT_EQ(Error(json{{std::string(kNameBytesMax, 'n'), 1}}), "");
  EXPECT_THAT(Error(json{{std::string(kNameBytesMax + 1, 'n'), 1}}), HasSubstr("a name of 1025 bytes"));
  for (const char* patch : {R"({"a":{"b c":1}})", R"({"a":{"b.c":1}})", R"({"a":{"$b":1}})", R"({"a":{"b#":1}})",
                            R"({"a":{"b\u0001":1}})", R"({"a":{"b\u0085":1}})", R"({"a":{"b\u007f":1}})"}) {
    EXPECT_THAT(ErrorOfText(patch), HasSubstr("a name with a space")) << patch;
    EXPECT_THAT(ErrorOfText(patch), ::testing::StartsWith("a.")) << patch;
  }
  EXPECT_THAT(ErrorOfText(R"({"$version":1})"), HasSubstr("a name with"));
  EXPECT_THAT(ErrorOfText(R"({"":1})"), HasSubstr("an empty name"));
  EXPECT_THAT(ErrorOfText(R"({"a":[{"b c":1}]})"), ::testing::StartsWith("a[0].\"b c\": a name with"));
}

TEST(TwinLimitsTest, ValuesAreLimited) {
  EXPECT_EQ(Error(json{{"a", std::string(kValueBytesMax, 'v')}}), "");
  EXPECT_EQ(Error(json{{"a", {{"b", std::string(kValueBytesMax + 1, 'v')}}}}),
            "a.b: a text of 4097 bytes, at most 4096 are allowed");
  EXPECT_EQ(ErrorOfText(R"({"a":4503599627370496,"b":-4503599627370496,"c":1e300,"d":null,"e":[1,true,"x"]})"), "");
  EXPECT_EQ(ErrorOfText(R"({"a":[0,4503599627370497]})"), "a[1]: an integer beyond 2^52");
  EXPECT_EQ(ErrorOfText(R"({"a":-4503599627370497})"), "a: an integer beyond 2^52");
  EXPECT_EQ(ErrorOfText(R"({"a":-9223372036854775808})"), "a: an integer beyond 2^52");
  EXPECT_EQ(ErrorOfText(R"({"a":{"b":[1,null]}})"), "a.b[1]: null in an array");
}

TEST(TwinLimitsTest, SizeIsLimited) {
  json document;
  for (int i = 0; i < 8; ++i) document[std::to_string(i)] = std::string(4090 - 5, 'v');
  const size_t size = TextOrEmpty(document).size();
  document["0"] = std::string(4085 + kDocumentBytesMax - size, 'v');
  EXPECT_TRUE(CheckSize("reported", document).ok());
  document["0"] = std::string(4086 + kDocumentBytesMax - size, 'v');
  EXPECT_EQ(CheckSize("reported", document).message(), "reported: would be 32769 bytes, at most 32768 are allowed");
}

}  // namespace
}  // namespace holdfast::twin
