#include "services/auth/wanted_identities.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "lib/testing/manual_clock.h"

namespace holdfast::auth {
namespace {

IdentityChange Names(const std::string& device) {
  IdentityChange change(IdentityChange::Kind::kDelta);
  EXPECT_TRUE(change.Unresolved(device, "").ok());
  return change;
}

class WantedIdentitiesTest : public ::testing::Test {
 protected:
  void Make(const WantedIdentities::Options& options) { wanted_.emplace(options, clock_, *metrics_); }
  std::shared_ptr<const WantedIdentities::Watcher> Enter() {
    auto watcher = std::make_shared<const WantedIdentities::Watcher>(
        WantedIdentities::Watcher{.on_wanted = [this](const auto& wanted) { asked_.push_back(wanted.id); },
                                  .on_over = [this](const absl::Status& status) { over_ = status; }});
    wanted_->Enter(watcher);
    return watcher;
  }
  bool Ask(const std::string& id) {
    return wanted_->Ask({.id = id}, [this] { ++answers_; });
  }

  ManualClock clock_;
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  std::vector<std::string> asked_;
  absl::Status over_;
  std::atomic<int> answers_ = 0;
  std::optional<WantedIdentities> wanted_;
};

TEST_F(WantedIdentitiesTest, NobodyToAskMeansNoWaiting) {
  Make({});
  EXPECT_FALSE(Ask("dev1"));
  const auto watcher = Enter();
  EXPECT_TRUE(Ask("dev1"));
  wanted_->Leave(watcher.get());
  EXPECT_EQ(answers_, 1) << "who waited goes on";
  EXPECT_FALSE(Ask("dev1"));
  Make({.wait = absl::ZeroDuration()});
  Enter();
  EXPECT_FALSE(Ask("dev1")) << "switched off";
}

TEST_F(WantedIdentitiesTest, OneIsAskedForOnceAndAllWhoWaitGoOn) {
  Make({});
  Enter();
  EXPECT_TRUE(Ask("dev1"));
  EXPECT_TRUE(Ask("dev1")) << "joins the first";
  EXPECT_TRUE(Ask("dev2"));
  EXPECT_EQ(asked_, (std::vector<std::string>{"dev1", "dev2"}));
  wanted_->Answered(Names("dev1"));
  EXPECT_EQ(answers_, 2);
  EXPECT_FALSE(Ask("dev1")) << "answered a moment ago";
  clock_.Advance(absl::Minutes(2));
  EXPECT_TRUE(Ask("dev1"));
  EXPECT_EQ(asked_.size(), 3u);
  wanted_->Answered(IdentityChange(IdentityChange::Kind::kSnapshot));
  EXPECT_EQ(answers_, 4) << "a snapshot answers everybody";
}

TEST_F(WantedIdentitiesTest, WaitEndsWithoutAnAnswerAndTheHubIsNotAskedAgainSoon) {
  Make({.wait = absl::Milliseconds(10)});
  Enter();
  absl::Notification done;
  ASSERT_TRUE(wanted_->Ask({.id = "dev1"}, [&done] { done.Notify(); }));
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_FALSE(Ask("dev1"));
  wanted_->Answered(Names("dev1"));
  EXPECT_EQ(answers_, 0);
}

TEST_F(WantedIdentitiesTest, RateForAllIsBoundedAndComesBack) {
  Make({.rate_per_minute = 3});
  Enter();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Ask(fmt::format("dev{}", i)), i < 3) << i;
  clock_.Advance(absl::Seconds(20));
  EXPECT_TRUE(Ask("later1"));
  EXPECT_FALSE(Ask("later2"));
}

// P12
TEST_F(WantedIdentitiesTest, ThoseWhoWaitAreBounded) {
  Make({});
  Enter();
  for (size_t i = 0; i < WantedIdentities::kWaitingMax; ++i) ASSERT_TRUE(Ask("dev1"));
  EXPECT_FALSE(Ask("dev1"));
  EXPECT_FALSE(Ask("dev2"));
  wanted_->Stop();
  EXPECT_EQ(answers_, static_cast<int>(WantedIdentities::kWaitingMax));
  EXPECT_EQ(over_.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(Ask("dev3"));
}

TEST_F(WantedIdentitiesTest, NewWatcherReplacesTheOldOneWhoMayLeaveLate) {
  Make({});
  const auto first = Enter();
  ASSERT_TRUE(Ask("dev1"));
  Enter();
  EXPECT_EQ(over_.code(), absl::StatusCode::kAborted);
  wanted_->Leave(first.get());
  EXPECT_EQ(answers_, 0);
  EXPECT_TRUE(Ask("dev2"));
}

}  // namespace
}  // namespace holdfast::auth
