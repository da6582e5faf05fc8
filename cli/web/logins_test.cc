#include "cli/web/logins.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace holdfast::web {
namespace {

constexpr char kToken[] = "0123456789abcdefghijklmnop";
constexpr absl::Duration kNow = absl::Hours(5);
const auto kPeer = boost::asio::ip::make_address("192.0.2.7");
const auto kOther = boost::asio::ip::make_address("192.0.2.8");

TEST(LoginsTest, TokenOpensASessionThatEnds) {
  Logins logins(kToken);
  const auto session = logins.LogIn(kToken, kPeer, kNow);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_GE(session->size(), 43u) << "256 bits";
  EXPECT_TRUE(logins.Holds(*session, kNow));
  EXPECT_TRUE(logins.Holds(*session, kNow + Logins::kSessionLife - absl::Seconds(1)));
  EXPECT_FALSE(logins.Holds(*session, kNow + Logins::kSessionLife));
  logins.LogOut(*session);
  EXPECT_FALSE(logins.Holds(*session, kNow));
}

TEST(LoginsTest, NothingElseDoes) {
  Logins logins(kToken);
  for (const std::string& wrong : {std::string(), std::string(kToken) + "q", std::string(kToken).substr(1)}) {
    EXPECT_EQ(logins.LogIn(wrong, kPeer, kNow).status().code(), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_FALSE(logins.Holds("", kNow));
  EXPECT_FALSE(logins.Holds(kToken, kNow)) << "the token is no session";
}

TEST(LoginsTest, P12_WrongTokensOfAnAddressAreLimited) {
  Logins logins(kToken);
  for (int i = 0; i < Logins::kWrongBurst; ++i) {
    EXPECT_EQ(logins.LogIn("wrong", kPeer, kNow).status().code(), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_EQ(logins.LogIn("wrong", kPeer, kNow).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(logins.LogIn(kToken, kPeer, kNow).status().code(), absl::StatusCode::kResourceExhausted)
      << "a guess must not be looked at either";
  EXPECT_TRUE(logins.LogIn(kToken, kOther, kNow).ok()) << "others are not affected";
  EXPECT_TRUE(logins.LogIn(kToken, kPeer, kNow + absl::Seconds(11)).ok());
}

TEST(LoginsTest, P12_SessionsAreBounded) {
  Logins logins(kToken);
  const std::string first = *logins.LogIn(kToken, kPeer, kNow);
  std::vector<std::string> later;
  for (size_t i = 0; i < Logins::kSessionsMax; ++i) {
    later.push_back(*logins.LogIn(kToken, kPeer, kNow + absl::Seconds(1)));
  }
  EXPECT_FALSE(logins.Holds(first, kNow + absl::Seconds(1))) << "the one that ends first gives way";
  for (const std::string& session : later) EXPECT_TRUE(logins.Holds(session, kNow + absl::Seconds(1)));
}

TEST(LoginsTest, SecretsDiffer) {
  std::set<std::string> secrets;
  for (int i = 0; i < 100; ++i) secrets.insert(RandomSecret());
  EXPECT_EQ(secrets.size(), 100u);
}

}  // namespace
}  // namespace holdfast::web
