// Presence against the real store, over its socket.
#include "services/router/presence.h"

#include <gtest/gtest.h>

#include "services/router/store_fixture.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

// What one router knows and was told.
class Router {
 public:
  Router(rpc::Channels* store, const std::string& instance) : presence_(store, instance) {
    presence_.Start({.on_taken_over =
                         [this](const std::string& client_id, const std::string& connection) {
                           absl::MutexLock lock(&mutex_);
                           taken_over_.push_back(client_id + "=" + connection);
                         },
                     .on_client =
                         [this](const std::string& client_id, const Presence::Client* client) {
                           absl::MutexLock lock(&mutex_);
                           clients_.push_back((client == nullptr ? "-" : "+") + client_id);
                         },
                     .on_link = [](const auto&) {}});
  }
  Presence& presence() { return presence_; }

  bool Knows(const std::string& client_id, const std::string& connection) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      const auto found = presence_.Find(client_id);
      if ((found ? found->connection() : "") == connection) return true;
      absl::SleepFor(absl::Milliseconds(2));
    }
    return false;
  }
  std::vector<std::string> TakenOver(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return taken_over_.size() >= count; };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
    return taken_over_;
  }
  std::vector<std::string> Clients(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return clients_.size() >= count; };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
    return clients_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> taken_over_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> clients_ ABSL_GUARDED_BY(mutex_);
  Presence presence_;
};

class PresenceTest : public ::testing::Test {
 protected:
  static Presence::Client Connection(const std::string& connection, bool methods = false) {
    Presence::Client client;
    client.set_connection(connection);
    client.set_methods(methods);
    return client;
  }

  StoreFixture store_;
  rpc::Channels& channels_ = store_.channels();
};

TEST_F(PresenceTest, EachRouterKnowsTheClientsOfAll) {
  Router a(&channels_, "a");
  Router b(&channels_, "b");
  a.presence().Set("dev1", Connection("1"));
  ASSERT_TRUE(b.Knows("dev1", "1"));
  EXPECT_EQ(b.presence().Find("dev1")->router_instance(), "a");
  EXPECT_EQ(b.Clients(1), std::vector<std::string>{"+dev1"});
  a.presence().Set("dev1", Connection("1", /*methods=*/true));
  EXPECT_EQ(b.Clients(2).size(), 2u);
  EXPECT_TRUE(b.presence().Find("dev1")->methods());
  a.presence().Remove("dev1", "1");
  EXPECT_TRUE(b.Knows("dev1", ""));
  EXPECT_EQ(b.Clients(3).back(), "-dev1");
}

TEST_F(PresenceTest, LaterConnectionOfTheSameRouterStaysWhenTheEarlierOneEnds) {
  Router a(&channels_, "a");
  Router b(&channels_, "b");
  a.presence().Set("dev1", Connection("1"));
  ASSERT_TRUE(b.Knows("dev1", "1"));
  a.presence().Set("dev1", Connection("2"));
  a.presence().Remove("dev1", "1");
  ASSERT_TRUE(b.Knows("dev1", "2"));
  a.presence().Set("dev2", Connection("3"));  // behind all that could still be on its way
  ASSERT_TRUE(b.Knows("dev2", "3"));
  EXPECT_TRUE(b.Knows("dev1", "2"));
  EXPECT_TRUE(a.TakenOver(0).empty());
}

TEST_F(PresenceTest, ClientThatConnectsToAnotherRouterIsTakenOver) {
  Router a(&channels_, "a");
  Router b(&channels_, "b");
  a.presence().Set("dev1", Connection("1"));
  ASSERT_TRUE(a.Knows("dev1", "1"));
  b.presence().Set("dev1", Connection("2"));
  EXPECT_EQ(a.TakenOver(1), std::vector<std::string>{"dev1=1"});
  // The end of the connection that lost does not take the other one's entry along.
  a.presence().Remove("dev1", "1");
  EXPECT_TRUE(b.Knows("dev1", "2"));
  EXPECT_TRUE(b.TakenOver(0).empty());
}

TEST_F(PresenceTest, SurvivesARestartOfTheStore) {
  Router a(&channels_, "a");
  Router b(&channels_, "b");
  a.presence().Set("dev1", Connection("1"));
  ASSERT_TRUE(b.Knows("dev1", "1"));
  store_.Stop();
  a.presence().Set("dev2", Connection("2"));
  a.presence().Remove("dev1", "1");
  store_.Start();
  EXPECT_TRUE(b.Knows("dev2", "2"));
  EXPECT_TRUE(b.Knows("dev1", ""));
}

TEST_F(PresenceTest, EntriesOfARouterThatStopsGoAtOnce) {
  auto a = std::make_unique<Router>(&channels_, "a");
  Router b(&channels_, "b");
  for (int i = 0; i < 1200; ++i) a->presence().Set("dev" + std::to_string(i), Connection("1"));  // more than a batch
  for (int i = 0; i < 1200; ++i) ASSERT_TRUE(b.Knows("dev" + std::to_string(i), "1")) << i;
  a.reset();
  for (int i = 0; i < 1200; ++i) ASSERT_TRUE(b.Knows("dev" + std::to_string(i), "")) << i;
}

// A router that is started anew under the same name finds entries of its former life.
TEST_F(PresenceTest, EntriesOfAFormerLifeAreTakenAway) {
  Presence::Client client = Connection("old");
  client.set_router_instance("a");
  store_.Put("presence/clients/dev1", client.SerializeAsString());
  Router b(&channels_, "b");
  ASSERT_TRUE(b.Knows("dev1", "old"));
  Router a(&channels_, "a");
  EXPECT_TRUE(b.Knows("dev1", ""));
}

}  // namespace
}  // namespace holdfast::router
