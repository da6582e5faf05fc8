// LogFile and LogPool on a disk that fails on demand.
#include "services/store/log_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "lib/testing/temp_dir.h"
#include "services/store/engine_fixture.h"
#include "services/store/log_pool.h"

namespace holdfast::store {
namespace {

constexpr uint64_t kFileBytes = 300'000;  // not a multiple of a step

class LogFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<LogFile> Create() {
    auto file = env_.disk()->Open(path_, /*create=*/true);
    EXPECT_TRUE(file.ok()) << file.status();
    return std::make_unique<LogFile>(env_.disk(), *std::move(file), dir_.path(), 0);
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::vector<std::string> Spares() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      if (entry.path().extension() == ".zeroes") paths.push_back(entry.path().string());
    }
    return paths;
  }

  TempDir dir_;
  const std::string path_ = dir_ / "000001.log";
  FaultEnv env_;
};

TEST_F(LogFileTest, SpaceIsWrittenAheadInStepsAndCutOffAtTheEnd) {
  auto log = Create();
  ASSERT_TRUE(log->Append("one").ok());
  ASSERT_TRUE(log->Sync().ok());
  const auto size = std::filesystem::file_size(path_);
  EXPECT_GE(size, 100'000u);
  EXPECT_EQ(Content(path_), "one" + std::string(size - 3, '\0'));
  ASSERT_TRUE(log->Append("two").ok());
  ASSERT_TRUE(log->Sync().ok());
  EXPECT_EQ(std::filesystem::file_size(path_), size) << "a second sync finds its space there";
  ASSERT_TRUE(log->Append(std::string(2'000'000, 'x')).ok());
  ASSERT_TRUE(log->Append("end").ok());
  ASSERT_TRUE(log->Sync().ok());
  log.reset();
  EXPECT_EQ(Content(path_), "onetwo" + std::string(2'000'000, 'x') + "end");
}

// P1: the name must be on disk before the first record is acknowledged.
TEST_F(LogFileTest, P1_FirstSyncSyncsTheName) {
  auto log = Create();
  ASSERT_TRUE(log->Append("one").ok());
  ASSERT_TRUE(log->Sync().ok());
  env_.FailNow(true);
  log.reset();
  env_.DropUnsynced();
  EXPECT_TRUE(Content(path_).starts_with("one"));
}

TEST_F(LogFileTest, AfterAFailureNothingIsWritten) {
  auto log = Create();
  ASSERT_TRUE(log->Append("one").ok());
  env_.FailNow(true);
  EXPECT_FALSE(log->Sync().ok());
  env_.FailNow(false);
  EXPECT_FALSE(log->Append(std::string(2'000'000, 'x')).ok());
  EXPECT_FALSE(log->Sync().ok());
  log.reset();
  EXPECT_EQ(Content(path_), "");
}

TEST_F(LogFileTest, PoolGivesZeroesOverAnOldLog) {
  LogPool pool(env_.disk(), dir_.path(), kFileBytes);
  pool.Start();
  ASSERT_EQ(pool.AwaitReady(), 2u);
  ASSERT_NE(pool.Take(path_), nullptr);
  EXPECT_EQ(Content(path_), std::string(kFileBytes, '\0'));
  const std::string old = dir_ / "000000.log";
  std::ofstream(old) << std::string(kFileBytes * 2, 'x');
  ASSERT_TRUE(pool.Recycle(old));
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_FALSE(pool.Recycle(path_)) << "no more than two";
  ASSERT_EQ(pool.AwaitReady(), 2u);
  for (const std::string& spare : Spares()) EXPECT_EQ(Content(spare), std::string(kFileBytes, '\0'));
  pool.Stop();
  EXPECT_TRUE(Spares().empty());
  EXPECT_EQ(pool.Take(path_), nullptr);
}

// P1: a power cut may leave records in a spare file, when its new name was not synced.
TEST_F(LogFileTest, P1_PoolNeverUsesWhatAnEarlierProcessLeft) {
  {
    LogPool pool(env_.disk(), dir_.path(), kFileBytes);
    pool.Start();
    pool.AwaitReady();
    env_.FailNow(true);
  }
  ASSERT_FALSE(Spares().empty());
  for (const std::string& spare : Spares()) std::ofstream(spare) << std::string(kFileBytes, 'x');
  LogPool pool(env_.disk(), dir_.path(), kFileBytes);
  pool.Start();
  EXPECT_EQ(pool.AwaitReady(), 0u) << "the disk still fails";
  EXPECT_EQ(pool.Take(path_), nullptr);
  env_.FailNow(false);
  EXPECT_EQ(pool.Take(path_), nullptr) << "begins to make some";
  ASSERT_EQ(pool.AwaitReady(), 2u);
  for (const std::string& spare : Spares()) EXPECT_EQ(Content(spare), std::string(kFileBytes, '\0'));
}

// P8
TEST_F(LogFileTest, P8_PoolLeavesADiskAloneThatIsNearlyFull) {
  env_.disk()->SetFreeBytes(kFileBytes * 7);
  LogPool pool(env_.disk(), dir_.path(), kFileBytes);
  pool.Start();
  EXPECT_EQ(pool.AwaitReady(), 0u);
  EXPECT_TRUE(Spares().empty());
  env_.disk()->SetFreeBytes(kFileBytes * 100);
  EXPECT_EQ(pool.Take(path_), nullptr);
  EXPECT_EQ(pool.AwaitReady(), 2u);
}

}  // namespace
}  // namespace holdfast::store
