#include "cli/web/queue_trends.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::web {
namespace {

using nlohmann::json;

store::v1::Queue Queue(const std::string& name, uint64_t records, uint64_t appended, bool is_read = true) {
  store::v1::Queue queue;
  queue.set_name(name);
  queue.set_records(records);
  queue.set_bytes(records * 100);
  queue.set_appended(appended);
  queue.set_incarnation("0000000000000001");
  store::v1::Consumer* const consumer = queue.add_consumers();
  consumer->set_name("uplink");
  consumer->set_connected(is_read);
  return queue;
}

json Shown(const QueueTrends& trends, const std::string& name) {
  const json all = trends.Json();
  for (const json& queue : all["shown"]) {
    if (queue["name"] == name) return queue;
  }
  return nullptr;
}

TEST(QueueTrendsTest, SaysHowFastAndHowLong) {
  QueueTrends trends;
  EXPECT_TRUE(trends.Json().is_null()) << "nothing was listed yet";
  // 100 a second come, 300 a second go.
  for (uint64_t second = 0; second <= 10; ++second) {
    trends.Add(absl::Seconds(second), true, {Queue("upstream", 10'000 - 200 * second, 10'000 + 100 * second)});
  }
  const json queue = Shown(trends, "upstream");
  EXPECT_EQ(queue["in"], 100.0);
  EXPECT_EQ(queue["out"], 300.0);
  EXPECT_EQ(queue["drain"]["state"], "draining");
  EXPECT_EQ(queue["drain"]["left_s"], 40);
}

TEST(QueueTrendsTest, WhatNobodyReadsAndWhatHasNoLinkWaits) {
  QueueTrends trends;
  trends.Add(absl::Seconds(1), false,
             {Queue("upstream", 50, 50), Queue("inbox/a", 50, 50, false), Queue("inbox/b", 50, 50)});
  EXPECT_EQ(Shown(trends, "upstream")["drain"]["state"], "waiting");
  EXPECT_EQ(Shown(trends, "inbox/a")["drain"]["state"], "waiting");
  EXPECT_EQ(Shown(trends, "inbox/b")["drain"]["state"], "measuring");
}

TEST(QueueTrendsTest, P12_ShowsThoseWithMostAndCountsAll) {
  QueueTrends trends;
  std::vector<store::v1::Queue> queues = {Queue("upstream", 0, 0)};
  for (uint64_t i = 0; i < 1'000; ++i) queues.push_back(Queue(fmt::format("inbox/dev{}", i), i, i));
  trends.Add(absl::Seconds(1), true, queues);
  const json shown = trends.Json();
  EXPECT_EQ(shown["total"], 1'001);
  EXPECT_EQ(shown["records"], 999 * 1'000 / 2);
  ASSERT_EQ(shown["shown"].size(), QueueTrends::kShownMax);
  EXPECT_EQ(shown["shown"][0]["name"], "upstream") << "in any case";
  EXPECT_EQ(shown["shown"][1]["name"], "inbox/dev999");
}

TEST(QueueTrendsTest, QueueThatWasMadeAnewStartsAnew) {
  QueueTrends trends;
  trends.Add(absl::Seconds(1), true, {Queue("inbox/a", 100, 5'000)});
  store::v1::Queue anew = Queue("inbox/a", 10, 10);
  anew.set_incarnation("0000000000000002");
  trends.Add(absl::Seconds(2), true, {anew});
  EXPECT_TRUE(Shown(trends, "inbox/a")["in"].is_null());
  trends.Clear();
  EXPECT_TRUE(trends.Json().is_null());
}

}  // namespace
}  // namespace holdfast::web
