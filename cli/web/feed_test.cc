#include "cli/web/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::web {
namespace {

using nlohmann::json;

Tick Second(int64_t second, const std::string& link = "online") {
  Tick tick = {.wall = absl::FromUnixSeconds(1'800'000'000 + second)};
  tick.sample.at = absl::Seconds(second);
  tick.sample.backlog = static_cast<uint64_t>(second);
  tick.drain = {{"state", "empty"}};
  tick.sections = {{"link", {{"state", link}}}, {"routes", {{"unmatched", 0}}}};
  return tick;
}

Event Happened(uint64_t id) {
  return {.id = id, .source = "uplink", .text = "event " + std::to_string(id)};
}

// The messages of a piece of a stream: {event, data}.
std::vector<std::pair<std::string, json>> Messages(const std::string& text) {
  std::vector<std::pair<std::string, json>> messages;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find("\n\n", at);
    const std::string message = text.substr(at, end - at);
    const size_t line = message.find('\n');
    EXPECT_TRUE(message.starts_with("event: ") && message.substr(line + 1).starts_with("data: ")) << message;
    messages.emplace_back(message.substr(7, line - 7), json::parse(message.substr(line + 7)));
    at = end + 2;
  }
  return messages;
}

TEST(FeedTest, SnapshotFirstThenTicks) {
  Feed feed(json{{"gateway", "gw"}});
  uint64_t cursor = 0;
  EXPECT_EQ(feed.Next(&cursor), "") << "nothing was asked yet";
  EXPECT_TRUE(feed.Snapshot().is_null());
  feed.Publish(Second(1));
  feed.Publish(Second(2));
  auto messages = Messages(feed.Next(&cursor));
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].first, "snapshot");
  EXPECT_EQ(messages[0].second["facts"]["gateway"], "gw");
  EXPECT_EQ(messages[0].second["history"]["fine"]["backlog"], json({1, 2}));
  EXPECT_EQ(messages[0].second["sections"]["link"]["state"], "online");
  EXPECT_EQ(feed.Next(&cursor), "");

  feed.Publish(Second(3, "offline"));
  feed.Publish(Second(4, "offline"));
  messages = Messages(feed.Next(&cursor));
  ASSERT_EQ(messages.size(), 2u) << "none is left out";
  EXPECT_EQ(messages[0].first, "tick");
  EXPECT_EQ(messages[0].second["sections"], json({{"link", {{"state", "offline"}}}})) << "what changed, and no more";
  EXPECT_EQ(messages[0].second["sample"]["backlog"], 3);
  EXPECT_EQ(messages[1].second["sections"], json::object());
}

TEST(FeedTest, EachEventIsToldOnce) {
  Feed feed(json::object());
  uint64_t cursor = 0;
  Tick tick = Second(1);
  tick.events = {Happened(1)};
  feed.Publish(tick);
  EXPECT_EQ(Messages(feed.Next(&cursor))[0].second["events"].size(), 1u);
  tick.events = {Happened(1), Happened(2), Happened(3)};
  feed.Publish(tick);
  const auto messages = Messages(feed.Next(&cursor));
  ASSERT_EQ(messages[0].second["events"].size(), 2u);
  EXPECT_EQ(messages[0].second["events"][0]["text"], "event 2");
}

TEST(FeedTest, P12_PageThatFallsBehindGetsASnapshot) {
  Feed feed(json::object());
  uint64_t cursor = 0;
  feed.Publish(Second(0));
  feed.Next(&cursor);
  for (size_t i = 1; i <= Feed::kTicksKept; ++i) feed.Publish(Second(static_cast<int64_t>(i)));
  uint64_t late = cursor;
  EXPECT_EQ(Messages(feed.Next(&cursor)).size(), Feed::kTicksKept);
  feed.Publish(Second(100));
  EXPECT_EQ(Messages(feed.Next(&late))[0].first, "snapshot");
}

TEST(FeedTest, TextOfClientsDoesNotBreakTheStream) {
  Feed feed(json::object());
  uint64_t cursor = 0;
  Tick tick = Second(1);
  tick.sections["link"]["state"] = "a\n\ndata: b\xff";
  feed.Publish(tick);
  EXPECT_EQ(Messages(feed.Next(&cursor)).size(), 1u);
}

}  // namespace
}  // namespace holdfast::web
