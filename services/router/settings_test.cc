// Settings against the real store.
#include "services/router/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/twin/twin_record.h"
#include "services/router/store_fixture.h"

namespace holdfast::router {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr char kTwin[] = "twins/edge1/$edgeHub";

std::string Desired(const std::string& route, int ttl, int version = 1) {
  return json{{"schemaVersion", "1.1"},
              {"routes", {{"r", route}}},
              {"storeAndForwardConfiguration", {{"timeToLiveSecs", ttl}}},
              {"$version", version}}
      .dump();
}

// A router that has nothing but settings.
class Gateway {
 public:
  Gateway(StoreFixture* store, const std::string& file)
      : settings_({.file = file, .version = "test"}, &store->channels(), Clock::System()) {
    settings_.Start(
        [this](const Settings::InForce& in_force) {
          absl::MutexLock lock(&mutex_);
          history_.push_back(in_force);
          return absl::OkStatus();
        },
        [this] {
          absl::MutexLock lock(&mutex_);
          ready_ = true;
        });
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&ready_), kPatience);
  }
  Settings& settings() { return settings_; }

  // The first route in force, once its time to live is this.
  std::string RouteOfTtl(int64_t ttl) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return history_.back().ttl_seconds == ttl; };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience)) return "never";
    const auto& routes = history_.back().routes->routes();
    return routes.empty() ? "" : routes[0].definition.text;
  }
  // It is told once the settings are in force.
  bool HasSource(const std::string& source) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (settings_.status().source != source && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
    return settings_.status().source == source;
  }
  std::string Error() {
    const absl::Time deadline = absl::Now() + kPatience;
    while (settings_.status().error.empty() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
    return settings_.status().error;
  }
  size_t applied() {
    absl::MutexLock lock(&mutex_);
    return history_.size();
  }

 private:
  absl::Mutex mutex_;
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Settings::InForce> history_ ABSL_GUARDED_BY(mutex_);
  Settings settings_;
};

class SettingsTest : public ::testing::Test {
 protected:
  // As editors and deployment tools do it.
  void Write(const std::string& text) {
    const std::string path = file();
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  }
  std::string file() const { return store_.Path("manifest.json"); }
  void PutTwin(const std::string& desired) {
    twin::TwinRecord record;
    record.ParseFromString(store_.Get(kTwin));
    json document = {{"desired", json::parse(desired)}, {"reported", {{"$version", 1}}}};
    ASSERT_TRUE(twin::TakeHubDocument(document.dump(), 1, &record).ok());
    store_.Put(kTwin, record.SerializeAsString());
  }
  json Reported(const std::function<bool(const json&)>& wanted) {
    const absl::Time deadline = absl::Now() + kPatience;
    json reported;
    while (absl::Now() < deadline) {
      twin::TwinRecord record;
      record.ParseFromString(store_.Get(kTwin));
      reported = json::parse(twin::ClientDocument(record))["reported"];
      if (wanted(reported)) break;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return reported;
  }

  StoreFixture store_;
};

TEST_F(SettingsTest, WithoutAnyEverythingGoesUpstream) {
  Gateway gateway(&store_, "");
  EXPECT_EQ(gateway.RouteOfTtl(7200), "FROM /messages/* INTO $upstream");
  EXPECT_EQ(gateway.settings().status().source, "default");
}

TEST_F(SettingsTest, FileIsFollowedAndABadOneChangesNothing) {
  Write(Desired("FROM /messages/modules/a/* INTO $upstream", 100));
  Gateway gateway(&store_, file());
  EXPECT_EQ(gateway.RouteOfTtl(100), "FROM /messages/modules/a/* INTO $upstream");
  Write(Desired("FROM /messages/* WHERE a == 1 INTO $upstream", 200));
  EXPECT_THAT(gateway.Error(), HasSubstr("route r, column"));
  EXPECT_EQ(gateway.RouteOfTtl(100), "FROM /messages/modules/a/* INTO $upstream");
  Write(Desired("FROM /messages/modules/b/* INTO $upstream", 300));
  EXPECT_EQ(gateway.RouteOfTtl(300), "FROM /messages/modules/b/* INTO $upstream");
}

TEST_F(SettingsTest, RestartWithABadFileGoesOnWithWhatWasInForce) {
  Write(Desired("FROM /messages/modules/a/* INTO $upstream", 100));
  {
    Gateway gateway(&store_, file());
    gateway.RouteOfTtl(100);
  }
  Write("{");
  Gateway gateway(&store_, file());
  EXPECT_EQ(gateway.RouteOfTtl(100), "FROM /messages/modules/a/* INTO $upstream");
  EXPECT_FALSE(gateway.Error().empty());
}

// P4: the twin is in the store, so a start without the hub has its settings.
TEST_F(SettingsTest, P4_TwinIsFollowedAndOutlivesARestart) {
  PutTwin(Desired("FROM /messages/modules/a/* INTO $upstream", 100, 4));
  {
    Gateway gateway(&store_, "");
    gateway.settings().SetGatewayDevice("edge1");
    EXPECT_EQ(gateway.RouteOfTtl(100), "FROM /messages/modules/a/* INTO $upstream");
    EXPECT_TRUE(gateway.HasSource("twin edge1/$edgeHub"));
    PutTwin(Desired("FROM /messages/modules/b/* INTO $upstream", 200, 5));
    EXPECT_EQ(gateway.RouteOfTtl(200), "FROM /messages/modules/b/* INTO $upstream");
  }
  Gateway gateway(&store_, "");
  EXPECT_EQ(gateway.RouteOfTtl(200), "FROM /messages/modules/b/* INTO $upstream") << "before the device is known";
}

TEST_F(SettingsTest, OutcomeAndClientsAreReportedToTheTwin) {
  PutTwin(Desired("FROM /messages/* INTO $nowhere", 100, 4));
  Gateway gateway(&store_, "");
  gateway.settings().SetGatewayDevice("edge1");
  json reported = Reported([](const json& r) { return r.contains("lastDesiredStatus"); });
  EXPECT_EQ(reported["lastDesiredStatus"]["code"], 400) << reported;
  EXPECT_EQ(reported["lastDesiredVersion"], 4);
  gateway.settings().OnClient("dev.1", true);
  PutTwin(Desired("FROM /messages/* INTO $upstream", 300, 5));
  reported = Reported([](const json& r) {
    return r.contains("lastDesiredVersion") && r["lastDesiredVersion"] == 5 && r["clientsConnected"] == 1;
  });
  EXPECT_EQ(reported["lastDesiredStatus"]["code"], 200) << reported;
  EXPECT_EQ(reported["clients"]["dev%2E1"]["status"], "Connected");
}

TEST_F(SettingsTest, TwinOfAModuleThatNothingWasDeployedToChangesNothing) {
  PutTwin(R"({"$version": 1})");
  Gateway gateway(&store_, "");
  gateway.settings().SetGatewayDevice("edge1");
  PutTwin(Desired("FROM /messages/* INTO $upstream", 300, 2));
  EXPECT_EQ(gateway.RouteOfTtl(300), "FROM /messages/* INTO $upstream");
  EXPECT_EQ(gateway.applied(), 2u) << "the default and this one";
}

}  // namespace
}  // namespace holdfast::router
