#include "services/store/damaged_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/log.h"

namespace holdfast::store {
namespace {

constexpr size_t kDamagedFilesMax = 1000;

}  // namespace

void DamagedFiles::SetAside(const std::string& path, bool move) {
  absl::MutexLock lock(&mutex_);
  std::error_code error;
  MakeDirectory();
  const std::string target = of_now_ + "/" + std::filesystem::path(path).filename().string();
  if (std::filesystem::exists(target, error)) return;
  if (move) {
    std::filesystem::rename(path, target, error);
  } else {
    std::filesystem::copy_file(path, target, error);
  }
  if (error) {
    spdlog::error("damaged file can't be set aside path={} error={}", path, error.message());
    return;
  }
  spdlog::warn("damaged file set aside path={}", target);
  paths_.push_back(target);
}

void DamagedFiles::MakeDirectory() {
  if (!of_now_.empty()) return;
  of_now_ = fmt::format("{}/{}", directory_, absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
  std::error_code error;
  std::filesystem::create_directories(of_now_, error);
}

void DamagedFiles::KeepBlock(std::string_view key, std::string_view value) {
  absl::MutexLock lock(&mutex_);
  if (paths_.size() >= kDamagedFilesMax) return;
  MakeDirectory();
  std::string path = of_now_ + "/block-";
  for (const char c : key) path += fmt::format("{:02x}", static_cast<unsigned char>(c));
  if (std::find(paths_.begin(), paths_.end(), path) != paths_.end()) return;
  std::ofstream(path, std::ios::binary).write(value.data(), static_cast<std::streamsize>(value.size()));
  spdlog::error("damaged block set aside path={} bytes={}", path, value.size());
  paths_.push_back(std::move(path));
}

std::vector<std::string> DamagedFiles::paths() const {
  absl::MutexLock lock(&mutex_);
  return paths_;
}

}  // namespace holdfast::store
