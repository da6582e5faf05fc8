#include "services/auth/identity_sync.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "absl/time/clock.h"
#include "lib/pki/certificate.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/fake_key_value.h"
#include "services/auth/key_ring.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using State = IdentityCache::State;

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr absl::Duration kPatience = absl::Seconds(20);

// One run of auth, without its gRPC services.
struct AuthRun {
  AuthRun(const std::string& run_dir, const std::string& identities_file, const std::string& key_file, Clock& clock,
          const std::string& hub_file = "", const std::string& hub_hostname = "")
      : store(run_dir, "store"), trusted_clock(clock) {
    sync = std::make_unique<IdentitySync>(IdentitySync::Options{.identities_file = identities_file,
                                                                .hub_connection_string_file = hub_file,
                                                                .hub_hostname = hub_hostname,
                                                                .sealing_keys = {.file = key_file}},
                                          repository, cache, hub, trusted_clock, clock, *metrics,
                                          IdentitySync::Callbacks{.on_serving = [this](bool on) { serving = on; },
                                                                  .on_fatal =
                                                                      [this](const absl::Status& status) {
                                                                        absl::MutexLock lock(&mutex);
                                                                        fatal = status;
                                                                      }});
    sync->Start();
  }
  bool WaitFor(const std::function<bool()>& condition) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end; absl::SleepFor(absl::Milliseconds(2))) {
      if (condition()) return true;
    }
    return false;
  }
  bool WaitForCount(size_t count) {
    return WaitFor([&] { return cache.Get().set != nullptr && cache.Get().set->identities.size() == count; });
  }
  bool WaitForState(State state) {
    return WaitFor([&] { return cache.Get().state == state && serving; });
  }
  absl::Status Fatal() {
    absl::MutexLock lock(&mutex);
    return fatal;
  }

  rpc::Channels store;
  std::unique_ptr<Metrics> metrics = *Metrics::Create("");
  IdentityRepository repository{store};
  IdentityCache cache;
  HubIdentity hub;
  TrustedClock trusted_clock;
  std::atomic<bool> serving = false;
  absl::Mutex mutex;
  absl::Status fatal;
  std::unique_ptr<IdentitySync> sync;
};

class IdentitySyncTest : public ::testing::Test {
 protected:
  void StartStore() { server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_}); }
  void WriteFile(int count, const std::string& more = "") {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += fmt::format("[[identity]]\ndevice_id = \"dev{}\"\nprimary_key = \"{}\"\n", i, kKey);
    }
    std::ofstream(file_ + ".new") << text << more;
    std::filesystem::rename(file_ + ".new", file_);
  }
  void WriteHub(const std::string& device = "edge1", const std::string& hub = "hub.example") {
    std::ofstream(hub_file_ + ".new") << fmt::format("HostName={};DeviceId={};ModuleId=$edgeHub;SharedAccessKey={}\n",
                                                     hub, device, kKey);
    std::filesystem::rename(hub_file_ + ".new", hub_file_);
  }
  std::unique_ptr<AuthRun> StartWithHub(const std::string& hub_hostname = "") {
    return std::make_unique<AuthRun>(dir_.path(), "", key_file_, clock_, hub_file_, hub_hostname);
  }
  // What the hub says: `count` devices.
  static IdentityChange Snapshot(int count, int first = 0) {
    IdentityMap identities;
    for (int i = first; i < first + count; ++i) {
      const std::string id = fmt::format("dev{}", i);
      identities[id] = {.device_id = id, .primary_key = std::string(32, 'k')};
    }
    IdentityChange change(IdentityChange::Kind::kSnapshot);
    EXPECT_TRUE(change.Put(std::move(identities)).ok());
    return change;
  }
  static absl::StatusOr<ChangeCounts> Apply(AuthRun& run, IdentityChange change) {
    std::promise<absl::StatusOr<ChangeCounts>> promise;
    run.sync->Apply(std::make_shared<IdentityChange>(std::move(change)),
                    [&](const absl::StatusOr<ChangeCounts>& counts) { promise.set_value(counts); });
    return promise.get_future().get();
  }
  std::unique_ptr<AuthRun> Start() { return std::make_unique<AuthRun>(dir_.path(), file_, key_file_, clock_); }

  TempDir dir_;
  ManualClock clock_;
  const std::string file_ = dir_ / "identities.toml";
  const std::string hub_file_ = dir_ / "hub.txt";
  const std::string key_file_ = dir_ / "secrets/sealing.key";
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> server_;
};

// P4
TEST_F(IdentitySyncTest, AfterTheFirstLoadTheStoreAloneIsEnough) {
  StartStore();
  WriteFile(3);
  {
    auto first = Start();
    ASSERT_TRUE(first->WaitForCount(3));
    EXPECT_TRUE(first->serving);
  }
  std::filesystem::remove(file_);
  auto second = Start();
  EXPECT_TRUE(second->WaitForCount(3));
}

// P5
TEST_F(IdentitySyncTest, NeverProvisionedIsAStateOfItsOwnAndEndsWithTheFile) {
  StartStore();
  auto run = Start();
  ASSERT_TRUE(run->WaitForState(State::kNeverProvisioned));
  WriteFile(2);
  EXPECT_TRUE(run->WaitForCount(2));
}

TEST_F(IdentitySyncTest, ServesNobodyUntilTheStoreIsThereAndThenByItself) {
  WriteFile(2);
  auto run = Start();
  EXPECT_EQ(run->cache.Get().state, State::kNotLoaded);
  EXPECT_FALSE(run->serving);
  StartStore();
  EXPECT_TRUE(run->WaitForCount(2));
}

TEST_F(IdentitySyncTest, ChangedFileIsTakenBadFileIsNot) {
  StartStore();
  WriteFile(2);
  auto run = Start();
  ASSERT_TRUE(run->WaitForCount(2));
  WriteFile(5);
  ASSERT_TRUE(run->WaitForCount(5));
  WriteFile(1, "nonsense\n");
  auto& errors = run->metrics->Counter("holdfast_auth_provisioning_errors_total", "Identities files that were refused");
  ASSERT_TRUE(run->WaitFor([&] { return errors.Value() == 1; }));
  EXPECT_EQ(run->cache.Get().set->identities.size(), 5u);
  WriteFile(1);
  EXPECT_TRUE(run->WaitForCount(1));
}

TEST_F(IdentitySyncTest, AnotherInstancesChangeIsSeen) {
  StartStore();
  WriteFile(2);
  auto first = Start();
  ASSERT_TRUE(first->WaitForCount(2));
  AuthRun other(dir_.path(), dir_ / "none.toml", key_file_, clock_);
  ASSERT_TRUE(other.WaitForCount(2));
  WriteFile(4);
  ASSERT_TRUE(first->WaitForCount(4));
  EXPECT_TRUE(other.WaitForCount(4));
}

// P6
TEST_F(IdentitySyncTest, LostSealingKeyIsNeverReplacedByANewOne) {
  StartStore();
  WriteFile(2);
  ASSERT_TRUE(Start()->WaitForCount(2));
  const auto before = kv_.Content();
  std::filesystem::remove(key_file_);
  auto run = Start();
  ASSERT_TRUE(run->WaitFor([&] { return !run->Fatal().ok(); }));
  EXPECT_THAT(std::string(run->Fatal().message()), HasSubstr("restore the key"));
  EXPECT_FALSE(std::filesystem::exists(key_file_));
  EXPECT_FALSE(run->serving);
  EXPECT_EQ(kv_.Content(), before);
}

// P6
TEST_F(IdentitySyncTest, WrongSealingKeyKeepsWhatIsInTheStore) {
  StartStore();
  WriteFile(2);
  ASSERT_TRUE(Start()->WaitForCount(2));
  const auto before = kv_.Content();
  std::filesystem::remove(key_file_);
  ASSERT_TRUE(KeyRing({.file = key_file_}).Make().ok());
  {
    auto run = Start();
    EXPECT_FALSE(run->WaitFor([&, end = absl::Now() + absl::Milliseconds(300)] {
      return run->serving || absl::Now() > end;
    }) && run->serving);
    EXPECT_EQ(run->cache.Get().state, State::kNotLoaded);
  }
  EXPECT_EQ(kv_.Content(), before);
}

TEST_F(IdentitySyncTest, DamagedRecordsAreMadeGoodFromTheFile) {
  StartStore();
  WriteFile(3);
  ASSERT_TRUE(Start()->WaitForCount(3));
  for (const auto& [key, value] : kv_.Content()) {
    if (key.ends_with("dev1")) kv_.Set(key, "damaged");
  }
  auto run = Start();
  EXPECT_TRUE(run->WaitForCount(3));
}

TEST_F(IdentitySyncTest, TimeKnownBeforeARestartIsKnownIn1970) {
  StartStore();
  WriteFile(1);
  const absl::Time day = clock_.WallNow();
  ASSERT_TRUE(Start()->WaitForCount(1));
  clock_.Reboot(absl::ZeroDuration());
  clock_.SetWall(absl::UnixEpoch());
  clock_.SetSynchronized(false);
  auto run = Start();
  ASSERT_TRUE(run->WaitForCount(1));
  EXPECT_GE(run->trusted_clock.Now(), day);
}

// P4
TEST_F(IdentitySyncTest, AfterTheFirstSyncNeitherTheHubNorItsFileIsNeeded) {
  StartStore();
  WriteHub();
  {
    auto run = StartWithHub();
    ASSERT_TRUE(run->WaitForState(State::kNeverProvisioned));
    ASSERT_NE(run->hub.Get(), nullptr);
    const auto counts = Apply(*run, Snapshot(3));
    ASSERT_TRUE(counts.ok()) << counts.status();
    EXPECT_EQ(counts->added, 3u);
    EXPECT_TRUE(run->WaitForCount(3));
  }
  std::filesystem::remove(hub_file_);
  auto second = StartWithHub();
  ASSERT_TRUE(second->WaitForCount(3));
  EXPECT_EQ(second->hub.Get()->device_id, "edge1");
  EXPECT_EQ(second->cache.Get().set->about.source, "hub hub.example/edge1");
}

TEST_F(IdentitySyncTest, DeltaChangesThoseNamedAndKeepsTheTimeOfTheSync) {
  StartStore();
  WriteHub();
  auto run = StartWithHub();
  IdentityChange early(IdentityChange::Kind::kDelta);
  EXPECT_EQ(Apply(*run, std::move(early)).status().code(), absl::StatusCode::kFailedPrecondition)
      << "a delta would make one device all that there are";
  ASSERT_TRUE(Apply(*run, Snapshot(5)).ok());
  const absl::Time synced_at = run->cache.Get().set->about.synced_at;
  clock_.Advance(absl::Minutes(10));
  IdentityChange delta(IdentityChange::Kind::kDelta);
  ASSERT_TRUE(delta.Put({{"new", {.device_id = "new", .primary_key = std::string(32, 'n')}}}).ok());
  ASSERT_TRUE(delta.Remove("dev1", "").ok());
  const auto counts = Apply(*run, std::move(delta));
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->added, 1u);
  EXPECT_EQ(counts->removed, 1u);
  EXPECT_EQ(counts->unchanged, 4u);
  EXPECT_EQ(run->cache.Get().set->about.synced_at, synced_at);
  const int writes = kv_.writes();
  IdentityChange nothing(IdentityChange::Kind::kDelta);
  ASSERT_TRUE(nothing.Unresolved("dev2", "").ok());
  EXPECT_EQ(Apply(*run, std::move(nothing))->unchanged, 5u);
  EXPECT_EQ(kv_.writes(), writes) << "nothing to write";
  ASSERT_TRUE(Apply(*run, Snapshot(4)).ok());
  EXPECT_GT(run->cache.Get().set->about.synced_at, synced_at);
}

TEST_F(IdentitySyncTest, SnapshotOfNothingIsTakenAsSaid) {
  StartStore();
  WriteHub();
  auto run = StartWithHub();
  ASSERT_TRUE(Apply(*run, Snapshot(2)).ok());
  const auto counts = Apply(*run, IdentityChange(IdentityChange::Kind::kSnapshot));
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->removed, 2u);
  EXPECT_EQ(run->cache.Get().state, State::kLoaded);
}

TEST_F(IdentitySyncTest, StoreThatGoesAwayDuringASyncLeavesTheOldSetInForce) {
  StartStore();
  WriteHub();
  auto run = StartWithHub();
  ASSERT_TRUE(Apply(*run, Snapshot(3)).ok());
  kv_.FailWritesAfter(1);
  EXPECT_EQ(Apply(*run, Snapshot(2000)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(run->cache.Get().set->identities.size(), 3u);
  kv_.FailWritesAfter(-1);
  EXPECT_TRUE(Apply(*run, Snapshot(2000)).ok());
}

TEST_F(IdentitySyncTest, TwoInstancesTakeWhatTheHubSaysInTurn) {
  StartStore();
  WriteHub();
  auto first = StartWithHub();
  ASSERT_TRUE(Apply(*first, Snapshot(3)).ok());
  auto second = StartWithHub();
  ASSERT_TRUE(second->WaitForCount(3));
  ASSERT_TRUE(Apply(*first, Snapshot(4)).ok());
  IdentityChange delta(IdentityChange::Kind::kDelta);
  ASSERT_TRUE(delta.Put({{"new", {.device_id = "new", .primary_key = std::string(32, 'n')}}}).ok());
  ASSERT_TRUE(Apply(*second, std::move(delta)).ok()) << "though the other one was faster";
  EXPECT_TRUE(second->WaitForCount(5));
  EXPECT_TRUE(first->WaitForCount(5));
}

// P5
TEST_F(IdentitySyncTest, IdentitiesOfAnotherSourceLetNobodyInAndAreKept) {
  StartStore();
  WriteFile(2);
  ASSERT_TRUE(Start()->WaitForCount(2));
  WriteHub();
  auto run = StartWithHub();
  ASSERT_TRUE(run->WaitForState(State::kNeverProvisioned));
  rpc::Channels channels(dir_.path(), "store");
  EXPECT_EQ(
      (*IdentityRepository(channels).Load(*Sealing::Create(*KeyRing({.file = key_file_}).Read())))->identities.size(),
      2u);
  ASSERT_TRUE(Apply(*run, Snapshot(3, 100)).ok());
  EXPECT_TRUE(run->WaitForCount(3));
  WriteHub("edge2");
  EXPECT_TRUE(run->WaitForState(State::kNeverProvisioned)) << "another gateway's children";
}

TEST_F(IdentitySyncTest, HubIsRefusedWhileAFileIsTheSource) {
  StartStore();
  WriteFile(2);
  auto run = Start();
  ASSERT_TRUE(run->WaitForCount(2));
  EXPECT_EQ(Apply(*run, Snapshot(3)).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(run->cache.Get().set->identities.size(), 2u);
}

TEST_F(IdentitySyncTest, ConnectionStringForAnotherHubIsNotUsed) {
  StartStore();
  WriteHub("edge1", "other.example");
  auto run = StartWithHub("hub.example");
  ASSERT_TRUE(run->WaitForState(State::kNeverProvisioned));
  EXPECT_EQ(run->hub.Get(), nullptr);
  WriteHub("edge1", "HUB.example");
  EXPECT_TRUE(run->WaitFor([&] { return run->hub.Get() != nullptr; })) << "the file is watched";
}

}  // namespace
}  // namespace holdfast::auth
