// P6: a gateway whose store encrypts what it writes ([store] encryption_key_file).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::string_view kSecret = "what-nobody-may-read";
constexpr int kDevices = 2;

std::string Key(char byte) {
  return std::string(32, byte);
}

class EncryptedGatewayTest : public ::testing::Test {
 protected:
  EncryptedGatewayTest() { hub_.SetReachable(false); }

  // Devices that send kSecret in each message, as many as are allowed.
  std::unique_ptr<Fleet> MakeFleet(uint64_t count, double rate = 0) const {
    return std::make_unique<Fleet>(gateway_, kDevices, count, [rate](Publisher::Options* o) {
      o->bag = fmt::format("text={}", kSecret);
      o->rate = rate;
    });
  }

  void WriteKeys(const std::string& keys) const {
    std::filesystem::create_directories(std::filesystem::path(key_file_).parent_path());
    WriteFile(key_file_ + ".new", keys);
    ASSERT_EQ(::chmod((key_file_ + ".new").c_str(), 0600), 0);
    std::filesystem::rename(key_file_ + ".new", key_file_);
  }

  // Files below the data directory in which `text` stands.
  std::vector<std::string> FilesWith(std::string_view text) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(gateway_.data_dir())) {
      if (entry.is_regular_file() && ReadFile(entry.path()).find(text) != std::string::npos) {
        found.push_back(entry.path());
      }
    }
    return found;
  }

  // The store ends by itself and says why on one line, which is returned.
  std::string WhyTheStoreDoesNotStart() {
    Process& store = gateway_.process("store");
    store.Kill();
    const size_t from = store.Log().size();
    gateway_.Launch("store");
    EXPECT_TRUE(store.WaitForExit(kPatience));
    EXPECT_NE(store.exit_code(), 0);
    std::string text = store.Log().substr(from);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  }

  std::string CommandOutput(const std::vector<std::string>& words) {
    std::vector<std::string> argv = {BinDir() + "/holdfast", "--run-dir", gateway_.run_dir()};
    argv.insert(argv.end(), words.begin(), words.end());
    Process command(argv, gateway_.dir() + fmt::format("/command{}.log", commands_++));
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    return command.Log();
  }

  // What was acknowledged comes to the hub, in order; `fleet` has sent all that it will.
  void ExpectAllArrives(const Fleet& fleet, uint64_t duplicates_max) {
    hub_.SetReachable(true);
    EXPECT_TRUE(hub_.WaitForMessages(fleet.total_acknowledged(), kPatience));
    EXPECT_TRUE(gateway_.WaitUntilDrained(kPatience));
    ExpectDelivered(fleet, hub_.Arrivals(), duplicates_max);
    const auto status = gateway_.StoreStatus();
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status->corrupt_records(), 0u);
  }

  ScriptedHub hub_;
  const TempDir keys_dir_;
  const std::string key_file_ = keys_dir_ / "secrets/store.key";
  Gateway gateway_{
      {.devices = DeviceNames(kDevices),
       .upstream = fmt::format("mqtt://127.0.0.1:{}", hub_.port()),
       .config = {{"store.encryption_key_file", fmt::format("\"{}\"", key_file_)}, {"uplink.backoff_max", "1"}}}};
  int commands_ = 0;
};

TEST_F(EncryptedGatewayTest, P6_StoreKilledUnderLoadGoesOnAndTheDiskShowsNothing) {
  constexpr int kKills = 5;
  ASSERT_TRUE(gateway_.Start());
  const auto fleet = MakeFleet(UINT64_MAX, 1'000);
  for (int round = 0; round < kKills; ++round) {
    const uint64_t before = fleet->total_acknowledged();
    ASSERT_TRUE(WaitFor(kPatience, [&] { return fleet->total_acknowledged() > before + 300; })) << round;
    ASSERT_TRUE(gateway_.Crash("store")) << round;
  }
  ASSERT_TRUE(fleet->Finish());
  EXPECT_THAT(FilesWith(kSecret), IsEmpty());
  EXPECT_THAT(FilesWith("upstream"), Not(IsEmpty())) << "names are not encrypted: the search finds what is there";
  EXPECT_THAT(CommandOutput({"status"}), HasSubstr("encrypted with key "));
  gateway_.KillAll();
  ASSERT_TRUE(gateway_.Start());
  ExpectAllArrives(*fleet, 0);
  EXPECT_THAT(FilesWith(kSecret), IsEmpty());
}

TEST_F(EncryptedGatewayTest, P6_WithoutItsKeyTheStoreSaysWhatToDoAndKeepsTheData) {
  gateway_.Reconfigure({{"store.encryption_key_file", "\"\""}});
  ASSERT_TRUE(gateway_.Start());
  auto plain = MakeFleet(50);
  ASSERT_TRUE(plain->WaitUntilAcknowledged(50));
  plain.reset();
  EXPECT_THAT(FilesWith(kSecret), Not(IsEmpty())) << "as long as it is off";
  gateway_.KillAll();
  std::filesystem::remove_all(gateway_.data_dir() + "/store");  // begin anew, as the manual says

  gateway_.Reconfigure({{"store.encryption_key_file", fmt::format("\"{}\"", key_file_)}});
  ASSERT_TRUE(gateway_.Start());
  const auto fleet = MakeFleet(500);
  ASSERT_TRUE(fleet->WaitUntilAcknowledged(500));
  const std::string key = ReadFile(key_file_);
  ASSERT_EQ(key.size(), 32u) << "made at the start";

  std::filesystem::remove(key_file_);
  EXPECT_THAT(WhyTheStoreDoesNotStart(), AllOf(HasSubstr("is missing"), HasSubstr(key_file_), HasSubstr("restore")));
  EXPECT_FALSE(std::filesystem::exists(key_file_)) << "no new key in its place";
  WriteKeys(Key('w'));
  EXPECT_THAT(WhyTheStoreDoesNotStart(), AllOf(HasSubstr("is not in the key file"), HasSubstr(key_file_)));
  EXPECT_EQ(ReadFile(key_file_), Key('w'));
  gateway_.Reconfigure({{"store.encryption_key_file", "\"\""}});
  EXPECT_THAT(WhyTheStoreDoesNotStart(), HasSubstr("set [store] encryption_key_file"));

  gateway_.Reconfigure({{"store.encryption_key_file", fmt::format("\"{}\"", key_file_)}});
  WriteKeys(key);
  ASSERT_TRUE(gateway_.Start("store"));
  ExpectAllArrives(*fleet, 0);
}

// The store is killed at some moment after each change of keys: while it starts, or seals values anew.
TEST_F(EncryptedGatewayTest, P6_KilledWhileKeysAreRotatedLosesNothingAndTheRotationGoesOn) {
  const char* seed = std::getenv("HOLDFAST_TEST_SEED");
  const unsigned value = seed != nullptr ? static_cast<unsigned>(std::stoul(seed)) : std::random_device{}();
  fmt::print("HOLDFAST_TEST_SEED={}\n", value);
  std::mt19937 random(value);
  const cli::Gateway client(gateway_.run_dir());
  constexpr int kValues = 8'000;  // four steps
  WriteKeys(Key('1'));
  ASSERT_TRUE(gateway_.Start());
  for (int i = 0; i < kValues; i += 500) {
    store::v1::WriteRequest write;
    for (int j = i; j < i + 500; ++j) {
      auto* const put = write.add_puts();
      put->set_key(fmt::format("test/{:05}", j));
      put->set_value(fmt::format("{} {}", kSecret, j));
    }
    const auto written =
        client.Call<store::v1::KeyValue, store::v1::WriteResponse>("store", &store::v1::KeyValue::Stub::Write, write);
    ASSERT_TRUE(written.ok()) << written.status();
  }
  const auto fleet = MakeFleet(UINT64_MAX, 500);
  std::string keys = Key('1');
  for (const char next : {'2', '3', '4'}) {
    const uint64_t before = fleet->total_acknowledged();
    ASSERT_TRUE(WaitFor(kPatience, [&] { return fleet->total_acknowledged() > before + 100; })) << next;
    gateway_.process("store").Kill();
    keys = Key(next) + keys;
    WriteKeys(keys);
    for (int kill = 0; kill < 4; ++kill) {
      gateway_.Launch("store");
      absl::SleepFor(absl::Milliseconds(std::uniform_int_distribution<int>(0, 300)(random)));
      gateway_.process("store").Kill();
    }
    ASSERT_TRUE(gateway_.Start("store")) << next;
  }
  ASSERT_TRUE(fleet->Finish());
  ASSERT_EQ(gateway_.StoreStatus()->older_encryption_key_ids_size(), 3) << "messages under each key are waiting";
  EXPECT_THAT(CommandOutput({"status"}), HasSubstr(", some still with "));
  ExpectAllArrives(*fleet, 0);

  // All is delivered: the older keys may go.
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway_.StoreStatus();
    return status.ok() && status->older_encryption_key_ids_size() == 0;
  }));
  EXPECT_THAT(CommandOutput({"status"}), Not(HasSubstr("some still with")));
  WriteKeys(Key('4'));
  ASSERT_TRUE(gateway_.Crash("store"));
  store::v1::ListRequest list;
  list.set_prefix("test/");
  int read = 0;
  do {
    const auto page =
        client.Call<store::v1::KeyValue, store::v1::ListResponse>("store", &store::v1::KeyValue::Stub::List, list);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const auto& entry : page->entries()) EXPECT_EQ(entry.value(), fmt::format("{} {}", kSecret, read++));
    list.set_start_key(page->next_key());
  } while (!list.start_key().empty());
  EXPECT_EQ(read, kValues);
  EXPECT_THAT(FilesWith(kSecret), IsEmpty());
}

}  // namespace
}  // namespace holdfast::systest
