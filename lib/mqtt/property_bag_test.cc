#include "lib/mqtt/property_bag.h"

#include <gtest/gtest.h>

namespace holdfast::mqtt {
namespace {

using std::string_literals::operator""s;

TEST(PropertyBag, WellFormed) {
  for (const char* bag : {"", "/", "k", "k=", "k=v", "k=v/", "k=v&k2=v2", "%24.mid=1&%24.ct=application%2Fjson",
                          "$.mid=1", "a&b&c=1", "k=a+b", "k=%C3%A4", "k=\xc3\xa4", "k=1&K=1", "?k=v"}) {
    EXPECT_EQ(CheckBag(bag), BagError::kOk) << bag << ": " << Text(CheckBag(bag));
  }
}

// P1: what is malformed is refused, never acknowledged and lost.
TEST(PropertyBag, Malformed) {
  EXPECT_EQ(CheckBag("=v"), BagError::kEmptyKey);
  EXPECT_EQ(CheckBag("a=1&=v"), BagError::kEmptyKey);
  EXPECT_EQ(CheckBag("&k=v"), BagError::kEmptyPair);
  EXPECT_EQ(CheckBag("k=v&"), BagError::kEmptyPair);
  EXPECT_EQ(CheckBag("k=v&/"), BagError::kEmptyPair);
  EXPECT_EQ(CheckBag("a=1&&b=2"), BagError::kEmptyPair);
  EXPECT_EQ(CheckBag("&"), BagError::kEmptyPair);
  EXPECT_EQ(CheckBag("k=a=b"), BagError::kSecondEquals);
  EXPECT_EQ(CheckBag("k=="), BagError::kSecondEquals);
  EXPECT_EQ(CheckBag("k=%"), BagError::kBadEscape);
  EXPECT_EQ(CheckBag("k=%2"), BagError::kBadEscape);
  EXPECT_EQ(CheckBag("k=%zz"), BagError::kBadEscape);
  EXPECT_EQ(CheckBag("%4=1"), BagError::kBadEscape);
  EXPECT_EQ(CheckBag("k=a/b"), BagError::kRawSlash);
  EXPECT_EQ(CheckBag("k=v//"), BagError::kRawSlash);
  EXPECT_EQ(CheckBag("k=%00"), BagError::kInvalidText);
  EXPECT_EQ(CheckBag("k=a\0b"s), BagError::kInvalidText);
  EXPECT_EQ(CheckBag("k=%FF"), BagError::kInvalidText);
  EXPECT_EQ(CheckBag("k=%C3"), BagError::kInvalidText);
  EXPECT_EQ(CheckBag("k=" + std::string(63, 'a') + "%C3%A4" + std::string(99, 'a')), BagError::kOk);
  EXPECT_EQ(CheckBag("k=" + std::string(63, 'a') + "%C3" + std::string(99, 'a')), BagError::kInvalidText);
}

TEST(PropertyBag, DuplicateKeysAreFoundAfterDecoding) {
  EXPECT_EQ(CheckBag("k=1&k=2"), BagError::kDuplicateKey);
  EXPECT_EQ(CheckBag("%24.mid=1&$.mid=2"), BagError::kDuplicateKey);
  EXPECT_EQ(CheckBag("a=1&b=2&%61=3"), BagError::kDuplicateKey);
  EXPECT_EQ(CheckBag("a&a="), BagError::kDuplicateKey);
}

// P12.
TEST(PropertyBag, NumberOfPropertiesIsLimited) {
  std::string bag;
  for (size_t i = 0; i < kBagPropertiesMax; ++i) AppendProperty(std::to_string(i), "v", &bag);
  EXPECT_EQ(CheckBag(bag), BagError::kOk);
  AppendProperty("more", "v", &bag);
  EXPECT_EQ(CheckBag(bag), BagError::kTooManyProperties);
}

TEST(PropertyBag, NullAndEmptyAreDifferent) {
  BagReader reader("a&b=&c=3/");
  auto a = reader.Next();
  ASSERT_TRUE(a);
  EXPECT_EQ(a->key, "a");
  EXPECT_FALSE(a->has_value);
  auto b = reader.Next();
  ASSERT_TRUE(b);
  EXPECT_TRUE(b->has_value);
  EXPECT_EQ(b->value, "");
  EXPECT_EQ(reader.Next()->value, "3");
  EXPECT_FALSE(reader.Next());
}

TEST(PropertyBag, DecodingAndEncoding) {
  std::string scratch;
  EXPECT_EQ(PercentDecode("plain", &scratch), "plain");
  EXPECT_EQ(PercentDecode("%24.ct+%2f", &scratch), "$.ct+/");
  EXPECT_EQ(PercentDecode("100%", &scratch), "100%");
  EXPECT_TRUE(DecodesTo("%24.mid", "$.mid"));
  EXPECT_TRUE(DecodesTo("$.mid", "$.mid"));
  EXPECT_FALSE(DecodesTo("%24.mi", "$.mid"));
  EXPECT_FALSE(DecodesTo("%24.midx", "$.mid"));
  EXPECT_FALSE(DecodesTo("%", "$"));
  std::string bag;
  AppendProperty("$.ct", "application/json; a=b", &bag);
  AppendProperty("null", std::nullopt, &bag);
  AppendProperty("ä", "", &bag);
  EXPECT_EQ(bag, "%24.ct=application%2Fjson%3B%20a%3Db&null&%C3%A4=");
  EXPECT_EQ(FindProperty(bag, "$.ct")->value, "application%2Fjson%3B%20a%3Db");
  EXPECT_FALSE(FindProperty(bag, "$.mid"));
}

}  // namespace
}  // namespace holdfast::mqtt
