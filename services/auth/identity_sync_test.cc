#include "services/auth/identity_sync.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "lib/pki/certificate.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/fake_key_value.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using State = IdentityCache::State;

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr absl::Duration kPatience = absl::Seconds(20);

// One run of auth, without its gRPC services.
struct AuthRun {
  AuthRun(const std::string& run_dir, const std::string& identities_file, const std::string& key_file, Clock& clock)
      : store(run_dir, "store"), trusted_clock(clock) {
    std::optional<Sealing> sealing;
    if (const auto key = ReadSealingKey(key_file); key.ok()) sealing = *Sealing::Create({*key});
    sync = std::make_unique<IdentitySync>(
        IdentitySync::Options{.identities_file = identities_file, .sealing_key_file = key_file}, std::move(sealing),
        repository, cache, trusted_clock, clock, *metrics,
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
  std::unique_ptr<AuthRun> Start() { return std::make_unique<AuthRun>(dir_.path(), file_, key_file_, clock_); }

  TempDir dir_;
  ManualClock clock_;
  const std::string file_ = dir_ / "identities.toml";
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
  ASSERT_TRUE(MakeSealingKey(key_file_).ok());
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

}  // namespace
}  // namespace holdfast::auth
