// Texts, numbers and dates as the model reads them.
#include "lib/routes/text.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/routes/iso_date.h"
#include "lib/routes/number_text.h"

namespace holdfast::routes {
namespace {

TEST(TextTest, CountsInUtf16Units) {
  EXPECT_EQ(Utf16Length(""), 0u);
  EXPECT_EQ(Utf16Length("aé€"), 3u);
  EXPECT_EQ(Utf16Length("\U0001D11E"), 2u);
  EXPECT_EQ(Utf16Substring("aé€b", 1, 2), "é€");
  EXPECT_EQ(Utf16Substring("\U0001D11Ex", 2, 1), "x");
  EXPECT_EQ(Utf16Substring("\U0001D11Ex", 1, 1), "\U0001D11E");
}

TEST(TextTest, MapsLetterByLetter) {
  std::pmr::memory_resource* const memory = std::pmr::get_default_resource();
  EXPECT_EQ(ToLower("AZ ÀÞ× ĀŁŹŸ ΑΩΆ АЯЁ", memory), "az àþ× āłźÿ αωά аяё");
  EXPECT_EQ(ToUpper("az àþ÷ āłźÿ αωάς аяё", memory), "AZ ÀÞ÷ ĀŁŹŸ ΑΩΆΣ АЯЁ");
  EXPECT_EQ(ToUpper("ß\U0001D11E漢", memory), "ß\U0001D11E漢");
}

TEST(TextTest, ColumnsCountCharacters) {
  EXPECT_EQ(Column("abc", 0), 1);
  EXPECT_EQ(Column("éx", 2), 2);
}

TEST(NumberTextTest, ReadsWhatDotNetReads) {
  const std::pair<const char*, double> numbers[] = {{"3", 3},
                                                    {"-3", -3},
                                                    {"+3", 3},
                                                    {"3-", -3},
                                                    {"(3)", -3},
                                                    {" 3\t", 3},
                                                    {"1,234", 1234},
                                                    {"1,2,3", 123},
                                                    {".5", 0.5},
                                                    {"5.", 5},
                                                    {"10e10", 10e10},
                                                    {"1E-2", 0.01},
                                                    {"1e+2", 100},
                                                    {"0e9999", 0},
                                                    {"1e-999", 0},
                                                    {"007", 7},
                                                    {"1e999", INFINITY},
                                                    {"-1e999", -INFINITY},
                                                    {"Infinity", INFINITY}};
  for (const auto& [text, number] : numbers) {
    ASSERT_TRUE(ParseNumber(text)) << text;
    EXPECT_EQ(*ParseNumber(text), number) << text;
  }
  EXPECT_EQ(*ParseNumber(std::string(400, '9')), INFINITY);
  for (const char* text :
       {"", " ", "a", "1a", "1e", "e1", ".", "-", "--1", "1.2.3", "0x10", "1 2", ",1", "(1", "inf", "1e+"}) {
    EXPECT_FALSE(ParseNumber(text)) << text;
  }
  // kGroupedNumberBytesMax
  EXPECT_FALSE(ParseNumber("1," + std::string(kGroupedNumberBytesMax, '1')));
}

TEST(IsoDateTest, KnowsWhatTheModelTakesForADate) {
  for (const char* date :
       {"2017-03-09T00:00:00", "2017-03-09T00:00:00Z", "2017-03-09T00:00:00.000Z", "2017-03-09T23:59:59.1234567+01:00",
        "2017-03-09T00:00:00-0130", "2017-03-09T00:00:00+01", "2024-02-29T00:00:00Z", "2017-03-09T24:00:00Z",
        "/Date(1489017600000)/", "/Date(-1)/", "/Date(1489017600000+0100)/"}) {
    EXPECT_TRUE(LooksLikeDate(date)) << date;
  }
  for (const char* text : {"", "2017-03-09", "2017-03-09 00:00:00Z", "2017-13-09T00:00:00Z", "2023-02-29T00:00:00Z",
                           "2017-03-09T25:00:00Z", "2017-03-09T00:00Z", "2017-03-09T00:00:00.Z", "2017-03-09T00:00:00X",
                           "2017-03-09T00:00:00.12345678Z", "0000-01-01T00:00:00Z", "x017-03-09T00:00:00Z",
                           "2017-03-09T00:00:00Z trailing", "/Date()/", "/Date(x)/", "/Date(1)"}) {
    EXPECT_FALSE(LooksLikeDate(text)) << text;
  }
}

}  // namespace
}  // namespace holdfast::routes
