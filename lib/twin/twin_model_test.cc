// P10: twins converge, whatever is done on both sides and wherever the connection breaks.
#include <gtest/gtest.h>

#include "lib/twin/merge_patch.h"
#include "lib/twin/random_json.h"
#include "lib/twin/twin_record.h"

namespace holdfast::twin {
namespace {

// A hub, a gateway with its record, a client that follows the patches it is sent.
class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {
    hub_.desired = random_.Document();
    hub_.reported = random_.Document();
    hub_.desired_version = 1 + random_.Below(5);
    knows_hub_ = random_.OneIn(2);
    if (knows_hub_) Read();
    refuses_ = random_.OneIn(2);
    client_reported_ = hub_.reported;
  }

  void Step() {
    switch (random_.Below(7)) {
      case 0: {
        const json patch = random_.Patch();
        client_reported_ = Applied(client_reported_, patch);
        Change([&](TwinRecord* record) { ASSERT_TRUE(ReportProperties(patch.dump(), record).ok()); });
        break;
      }
      case 1:
        Change([&](TwinRecord* record) { ASSERT_TRUE(SetLocalDesired(random_.Patch().dump(), record).ok()); });
        break;
      case 2:
      case 3:
        HubPatches(random_.Patch(), /*heard=*/!random_.OneIn(3));
        break;
      case 4:
      case 5:
        Tell(/*cuts=*/true);
        break;
      default:
        if (random_.OneIn(3)) Read();
    }
  }

  // The connection is there and stays.
  void Settle() {
    while (Tell(/*cuts=*/false)) {
    }
    Read();
    while (Tell(/*cuts=*/false)) {
    }
    EXPECT_EQ(ObjectOrEmpty(record_.reported()), hub_.reported);
    EXPECT_EQ(ObjectOrEmpty(record_.desired()), hub_.desired);
    EXPECT_EQ(record_.pending() + record_.sending(), "");
    if (knows_hub_ && !refuses_) {
      EXPECT_EQ(hub_.reported, client_reported_);
    }
    // Nothing local is left once the hub has spoken of each node.
    HubPatches(json{{"a", 77}, {"b", 77}, {"c", 77}}, /*heard=*/true);
    EXPECT_EQ(record_.local_desired(), "");
    EXPECT_EQ(client_desired_, hub_.desired);
  }

 private:
  struct Hub {
    json desired;
    uint64_t desired_version = 1;
    json reported;
    uint64_t reported_version = 1;
  };

  template <typename F>
  void Change(F change) {
    const TwinRecord before = record_;
    change(&record_);
    ASSERT_GE(record_.client_version(), before.client_version());
    ASSERT_GE(record_.client_version(), record_.desired_version());
    ASSERT_GE(record_.reported_version(), before.reported_version());
    json sum = Applied(ObjectOrEmpty(record_.hub_reported()), ObjectOrEmpty(record_.sending()));
    sum = Applied(sum, ObjectOrEmpty(record_.pending()));
    ASSERT_EQ(ObjectOrEmpty(record_.reported()), sum);
    if (const auto patch = DesiredChange(before, record_)) {
      json changes = ObjectOrEmpty(*patch);
      ASSERT_GT(changes["$version"], client_version_);
      client_version_ = changes["$version"];
      changes.erase("$version");
      client_desired_ = Applied(client_desired_, changes);
    }
    json seen = json::parse(ClientDocument(record_))["desired"];
    ASSERT_EQ(seen["$version"], client_version_);
    seen.erase("$version");
    ASSERT_EQ(seen, client_desired_);
  }

  void HubPatches(json patch, bool heard) {
    hub_.desired = Applied(hub_.desired, patch);
    patch["$version"] = ++hub_.desired_version;
    if (!heard) return;
    PatchResult result = PatchResult::kTaken;
    Change([&](TwinRecord* record) {
      Conflicts conflicts;
      result = TakeHubPatch(patch.dump(), &conflicts, record).value();
    });
    if (result == PatchResult::kGap) Read();
  }

  void Read() {
    json desired = hub_.desired;
    json reported = hub_.reported;
    desired["$version"] = hub_.desired_version;
    reported["$version"] = hub_.reported_version;
    const std::string document = json{{"desired", desired}, {"reported", reported}}.dump();
    Change([&](TwinRecord* record) { ASSERT_TRUE(TakeHubDocument(document, 1, record).ok()); });
  }

  // False: there was nothing to tell. A cut: before it reached the hub, or before its answer was written down.
  bool Tell(bool cuts) {
    std::optional<std::string> patch;
    Change([&](TwinRecord* record) { patch = BeginSending(record); });
    if (!patch.has_value()) return false;
    if (cuts && random_.OneIn(4)) return true;
    if (refuses_ && random_.OneIn(4)) {
      if (cuts && random_.OneIn(4)) return true;
      Change([](TwinRecord* record) { Refused("400", 1, record); });
      return true;
    }
    hub_.reported = Applied(hub_.reported, ObjectOrEmpty(*patch));
    ++hub_.reported_version;
    if (cuts && random_.OneIn(4)) return true;
    Change([](TwinRecord* record) { Sent(record); });
    return true;
  }

  RandomJson random_;
  Hub hub_;
  TwinRecord record_;
  bool knows_hub_ = false;
  bool refuses_ = false;
  json client_reported_;
  json client_desired_ = json::object();
  uint64_t client_version_ = 0;
};

TEST(TwinModelTest, P10BothSidesHoldTheSameDocumentAfterAnyHistory) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (int i = 0; i < 40; ++i) world.Step();
    world.Settle();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace holdfast::twin
