#include "cli/web/history.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/web/counter_rate.h"

namespace holdfast::web {
namespace {

Sample At(int64_t second, uint64_t backlog = 0, LinkSight link = LinkSight::kOnline) {
  return {.at = absl::Seconds(second), .link = link, .backlog = backlog, .in_per_second = 10, .clients = 3};
}

TEST(HistoryTest, P12_KeepsAnHourOfSecondsAndADayOfMinutes) {
  History history;
  for (int64_t second = 0; second < 2 * 86'400; ++second) history.Add(At(second));
  EXPECT_EQ(history.fine().size(), History::kFineMax);
  EXPECT_EQ(history.coarse().size(), History::kCoarseMax);
  EXPECT_EQ(history.fine().front().at, absl::Seconds(2 * 86'400 - 3'600));
  EXPECT_EQ(history.coarse().back().at, absl::Minutes(2 * 1'440 - 2)) << "the last minute is not over";
}

TEST(HistoryTest, AMinuteShowsItsWorst) {
  History history;
  for (int64_t second = 0; second < 60; ++second) {
    Sample sample = At(second, second == 30 ? 500 : 2, second == 7 ? LinkSight::kOffline : LinkSight::kOnline);
    if (second < 30) sample.in_per_second.reset();
    sample.out_per_second = second;
    history.Add(sample);
  }
  EXPECT_TRUE(history.coarse().empty());
  history.Add(At(60));
  ASSERT_EQ(history.coarse().size(), 1u);
  const Sample& minute = history.coarse().front();
  EXPECT_EQ(minute.at, absl::ZeroDuration());
  EXPECT_EQ(minute.link, LinkSight::kOffline);
  EXPECT_EQ(minute.backlog, 500u);
  EXPECT_EQ(minute.in_per_second, 10.0) << "of the seconds that are known";
  EXPECT_EQ(minute.out_per_second, 29.5);
  EXPECT_EQ(minute.clients, 3u);
}

TEST(HistoryTest, WhatIsNotKnownIsNull) {
  History history;
  history.Add({.at = absl::Seconds(1)});
  history.Add(At(2, 7));
  const nlohmann::json columns = ColumnsJson(history.fine());
  EXPECT_EQ(columns["at"], nlohmann::json({1000, 2000}));
  EXPECT_EQ(columns["link"], nlohmann::json({"away", "online"}));
  EXPECT_EQ(columns["backlog"], nlohmann::json({nullptr, 7}));
  EXPECT_EQ(columns["in"], nlohmann::json({nullptr, 10.0}));
  EXPECT_EQ(columns["out"], nlohmann::json({nullptr, nullptr}));
}

TEST(CounterRateTest, CountsOverInstances) {
  CounterRate rate;
  EXPECT_EQ(rate.Add(absl::Seconds(1), {{"0", 100}}), std::nullopt) << "nothing to compare with";
  EXPECT_EQ(rate.Add(absl::Seconds(3), {{"0", 120}, {"1", 7'000}}), 10.0) << "a new instance says nothing yet";
  EXPECT_EQ(rate.Add(absl::Seconds(4), {{"0", 130}, {"1", 7'005}}), 15.0);
}

TEST(CounterRateTest, ARestartIsNoFallAndAbsenceIsNotZero) {
  CounterRate rate;
  rate.Add(absl::Seconds(1), {{"0", 1'000}});
  EXPECT_EQ(rate.Add(absl::Seconds(2), {{"0", 20}}), 20.0);
  EXPECT_EQ(rate.Add(absl::Seconds(3), {}), std::nullopt);
  EXPECT_EQ(rate.Add(absl::Seconds(4), {{"0", 500}}), std::nullopt);
}

}  // namespace
}  // namespace holdfast::web
