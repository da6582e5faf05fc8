#include "tests/hubsim/event_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/testing/temp_dir.h"

namespace holdfast::hubsim {
namespace {

const absl::Time kNow = absl::FromUnixMillis(1'800'000'000'123);

void Add(EventLog* log, std::string_view topic, std::string_view body) {
  static const auto kSender =
      std::make_shared<const Sender>(Sender{.device_id = "d", .actor = "edge", .connection = 3});
  log->Append({.sender = kSender, .topic = topic, .bag_at = topic.rfind('/') + 1, .body = body, .qos = 1, .dup = true},
              kNow);
}

TEST(EventLogTest, WritesALineOfJson) {
  const auto log = *EventLog::Create({});
  Add(log.get(), "devices/d/messages/events/a=b%20c&%24.mid=1&flag&empty=", std::string("\0\xff\n", 3));
  std::string line;
  EventLog::AppendJson(log->At(0), &line);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(line), nlohmann::json::parse(R"({"seq":0,"enqueued_at":"2027-01-15T08:00:00.123Z",
    "device_id":"d","module_id":null,"actor":"edge","connection":3,"topic":"devices/d/messages/events/a=b%20c&%24.mid=1&flag&empty=",
    "properties":{"a":"b c","$.mid":"1","flag":null,"empty":""},"body":"AP8K","qos":1,"dup":true,"retain":false})"));
}

TEST(EventLogTest, DropsTheOldestBeyondItsLimits) {
  const auto by_count = *EventLog::Create({.events_max = 10});
  for (int i = 0; i < 25; ++i) Add(by_count.get(), "t/", std::to_string(i));
  EXPECT_EQ(by_count->first(), 15u);
  EXPECT_EQ(by_count->next(), 25u);
  EXPECT_EQ(by_count->dropped(), 15u);
  EXPECT_EQ(by_count->At(15).data, "t/15");
  const auto by_bytes = *EventLog::Create({.bytes_max = 10'000});
  for (int i = 0; i < 25; ++i) Add(by_bytes.get(), "t/", std::string(1000, 'x'));
  EXPECT_LE(by_bytes->bytes(), 10'000u);
  EXPECT_GT(by_bytes->dropped(), 10u);
  Add(by_bytes.get(), "t/", std::string(20'000, 'x'));
  EXPECT_EQ(by_bytes->first() + 1, by_bytes->next()) << "the newest is there, however large";
}

TEST(EventLogTest, NumbersGoOnAfterClear) {
  const auto log = *EventLog::Create({});
  Add(log.get(), "t/", "a");
  log->Clear();
  EXPECT_EQ(log->first(), 1u);
  EXPECT_EQ(log->bytes(), 0u);
  Add(log.get(), "t/", "b");
  EXPECT_EQ(log->At(1).sequence, 1u);
}

TEST(EventLogTest, TellsItsWatchers) {
  const auto log = *EventLog::Create({});
  int calls = 0;
  const uint64_t watch = log->Watch([&calls] { ++calls; });
  Add(log.get(), "t/", "a");
  EXPECT_EQ(calls, 0);
  log->Notify();
  log->Unwatch(watch);
  log->Notify();
  EXPECT_EQ(calls, 1);
}

TEST(EventLogTest, WritesEverythingToItsFile) {
  const TempDir dir;
  {
    const auto log = *EventLog::Create({.events_max = 2, .file = dir / "events"});
    for (int i = 0; i < 5; ++i) Add(log.get(), "t/", std::to_string(i));
    log->Notify();
  }
  std::ifstream in(dir / "events");
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) EXPECT_EQ(nlohmann::json::parse(line).at("seq"), lines);
  EXPECT_EQ(lines, 5);
  EXPECT_FALSE(EventLog::Create({.file = dir.path()}).ok());
}

}  // namespace
}  // namespace holdfast::hubsim
