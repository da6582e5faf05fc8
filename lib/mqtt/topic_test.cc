#include "lib/mqtt/topic.h"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::mqtt {
namespace {

TEST(Topic, Names) {
  EXPECT_TRUE(IsTopicName("a"));
  EXPECT_TRUE(IsTopicName("/"));
  EXPECT_TRUE(IsTopicName(std::string(65'535, 'a')));
  EXPECT_FALSE(IsTopicName(""));
  EXPECT_FALSE(IsTopicName("a/+/b"));
  EXPECT_FALSE(IsTopicName("devices/dev1/messages/#"));
  EXPECT_FALSE(IsTopicName(std::string(65'536, 'a')));
}

TEST(Topic, Filters) {
  for (const char* good : {"#", "+", "/", "a", "a/#", "a/+/b", "+/+", "/+", "sport/tennis/player1/#", "$SYS/#"}) {
    EXPECT_TRUE(IsTopicFilter(good)) << good;
  }
  for (const char* bad : {"", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+", "##", "a/##"})
    EXPECT_FALSE(IsTopicFilter(bad)) << bad;
}

// The examples of MQTT 3.1.1, 4.7.
TEST(Topic, Matching) {
  for (const char* topic :
       {"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"}) {
    EXPECT_TRUE(TopicMatches("sport/tennis/player1/#", topic)) << topic;
  }
  EXPECT_TRUE(TopicMatches("sport/#", "sport"));
  EXPECT_TRUE(TopicMatches("#", "a/b/c"));
  EXPECT_TRUE(TopicMatches("sport/tennis/+", "sport/tennis/player1"));
  EXPECT_FALSE(TopicMatches("sport/tennis/+", "sport/tennis/player1/ranking"));
  EXPECT_FALSE(TopicMatches("sport/+", "sport"));
  EXPECT_TRUE(TopicMatches("sport/+", "sport/"));
  EXPECT_TRUE(TopicMatches("+/+", "/finance"));
  EXPECT_TRUE(TopicMatches("/+", "/finance"));
  EXPECT_FALSE(TopicMatches("+", "/finance"));
  EXPECT_FALSE(TopicMatches("#", "$SYS/x"));
  EXPECT_FALSE(TopicMatches("+/monitor/Clients", "$SYS/monitor/Clients"));
  EXPECT_TRUE(TopicMatches("$SYS/#", "$SYS/x"));
  EXPECT_FALSE(TopicMatches("ACCOUNTS", "Accounts"));
  EXPECT_FALSE(TopicMatches("a/b", "a/b/c"));
  EXPECT_FALSE(TopicMatches("a/b/c", "a/b"));
}

}  // namespace
}  // namespace holdfast::mqtt
