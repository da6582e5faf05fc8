// P9: a damaged file costs at most the records in it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> FilesOf(const std::string& dir, const std::string& extension) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file() && entry.path().extension() == extension) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Overwrites 4 KiB in the middle.
void Damage(const fs::path& file) {
  const auto size = static_cast<std::streamoff>(fs::file_size(file));
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(size / 2);
  const std::string garbage(static_cast<size_t>(std::min<std::streamoff>(4096, size / 2)), '\xA5');
  stream.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
}

// Stores some tens of MB offline, stops, damages one file, starts, and lets everything drain.
void LoseAPart(const std::string& extension) {
  ScriptedHub hub;
  hub.SetReachable(false);
  Gateway gateway({.devices = DeviceNames(2),
                   .upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port()),
                   .config = {{"uplink.backoff_max", "1"}, {"store.write_buffer_bytes", "1048576"}}});
  ASSERT_TRUE(gateway.Start());
  constexpr uint64_t kEach = 15'000;
  constexpr size_t kPayloadBytes = 1'000;
  Fleet fleet(gateway, 2, kEach, [](Publisher::Options* o) { o->payload_bytes = kPayloadBytes; });
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(kEach, absl::Seconds(120)));
  gateway.KillAll();
  const std::vector<fs::path> files = FilesOf(gateway.data_dir(), extension);
  ASSERT_FALSE(files.empty()) << "30 MB must have left a " << extension << " file";
  const fs::path& damaged = files[files.size() / 2];
  // Nothing is compressed, so a file can hold no more messages than this.
  const uint64_t records_in_file_max = fs::file_size(damaged) / kPayloadBytes;
  Damage(damaged);

  ASSERT_TRUE(gateway.Start()) << "a damaged file must not keep the gateway from starting";
  fleet.Allow(kEach + 100);
  EXPECT_TRUE(fleet.WaitUntilAcknowledged(kEach + 100)) << "new messages must be taken";
  hub.SetReachable(true);
  EXPECT_TRUE(gateway.WaitUntilDrained(absl::Seconds(120)));
  const auto queue = gateway.UpstreamQueue();
  const auto status = gateway.StoreStatus();
  ASSERT_TRUE(queue.ok() && status.ok());
  const DeliveryReport report = Compare(fleet.acknowledged(), hub.Arrivals());
  fmt::print("{}: {}; dropped as corrupt {}, damaged files {}\n", extension, report.Text(), queue->dropped().corrupt(),
             status->damaged_files_size());
  EXPECT_LE(report.lost, records_in_file_max) << "more is lost than was in " << damaged;
  EXPECT_EQ(report.out_of_order, 0u);
  if (report.lost > 0) {
    EXPECT_EQ(queue->dropped().corrupt(), report.lost) << "each lost message is counted once";
    EXPECT_GE(status->damaged_files_size(), 1) << "and kept aside";
  }
}

// P9
TEST(CorruptionTest, DamagedTableFileCostsAtMostItsOwnRecords) {
  LoseAPart(".ldb");
}

// P9
TEST(CorruptionTest, DamagedLogFileCostsAtMostItsOwnRecords) {
  LoseAPart(".log");
}

}  // namespace
}  // namespace holdfast::systest
