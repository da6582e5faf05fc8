// P8: a disk that is really full.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

constexpr int kDiskMiB = 48;

// A file system of its own, unmounted at the end.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    std::filesystem::create_directories(path);
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, fmt::format("size={}m", kDiskMiB).c_str()) == 0;
    if (!mounted_) error_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  const std::string& error() const { return error_; }
  // Takes all the space that is left.
  void Fill() const {
    const int fd = ::open((path_ + "/ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (off_t size = 64 << 20; size >= 4096; size /= 2) {
      while (::fallocate(fd, 0, ::lseek(fd, 0, SEEK_END), size) == 0) ::lseek(fd, 0, SEEK_END);
    }
    ::close(fd);
  }
  void Release() const { ::unlink((path_ + "/ballast").c_str()); }

 private:
  const std::string path_;
  bool mounted_ = false;
  std::string error_;
};

class DiskFullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!disk_.mounted())
      GTEST_SKIP() << "NOT TESTED: P8 on a full disk needs a tmpfs, and mount says: " << disk_.error();
  }
  void Run(std::map<std::string, std::string> config);

  TempDir dir_;
  SmallDisk disk_{dir_ / "disk"};
};

void DiskFullTest::Run(std::map<std::string, std::string> config) {
  ScriptedHub hub;
  config["uplink.backoff_max"] = "1";
  Gateway gateway({.devices = DeviceNames(3),
                   .upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port()),
                   .config = std::move(config),
                   .data_dir = dir_ / "disk/data"});
  ASSERT_TRUE(gateway.Start());
  hub.SetReachable(false);
  Fleet fleet(gateway, 2, UINT64_MAX, [](Publisher::Options* o) { o->payload_bytes = 1'000; });
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(200));
  disk_.Fill();
  uint64_t acknowledged = 0;
  absl::Time changed = absl::Now();
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    if (fleet.total_acknowledged() != acknowledged) changed = absl::Now();
    acknowledged = fleet.total_acknowledged();
    return absl::Now() - changed > absl::Seconds(2);
  })) << "nothing may be acknowledged that has no room on the disk";
  for (const std::string_view service : Gateway::kServices) {
    EXPECT_TRUE(gateway.process(service).running()) << service << " must live through it";
  }
  EXPECT_TRUE(gateway.StoreStatus().ok()) << "an operator must be able to ask what is wrong";

  disk_.Release();
  EXPECT_TRUE(WaitFor(kPatience, [&] { return fleet.total_acknowledged() > acknowledged + 500; }))
      << "must resume by itself";
  hub.SetReachable(true);
  ASSERT_TRUE(fleet.Finish());
  EXPECT_TRUE(hub.WaitForMessages(fleet.total_acknowledged(), kPatience));
  EXPECT_TRUE(gateway.Serving("store"));
  // No copies of the gateway's own: the hub is away before the first message, so uplink has nothing in flight when the
  // disk fills; the store holds or repeats what it could not write, and router's streams to it stay.
  ExpectDelivered(fleet, hub.Arrivals(), fleet.resent());
}

// P8
TEST_F(DiskFullTest, FreeSpaceFloorPushesBackBeforeTheDiskIsFullAndRecovers) {
  Run({{"store.free_space_floor_bytes", std::to_string(8 << 20)}});
}

// P8
TEST_F(DiskFullTest, EnospcPushesBackAndRecovers) {
  Run({{"store.free_space_floor_bytes", "0"}});
}

}  // namespace
}  // namespace holdfast::systest
