#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/system/delivery.h"
#include "tests/system/gateway.h"
#include "tests/system/publisher.h"

namespace holdfast::systest {

// Generous: a sanitizer build on a busy machine. What has a time promised is measured by its test.
inline constexpr absl::Duration kPatience = absl::Seconds(25);

// Several devices that publish at one gateway.
class Fleet {
 public:
  // One publisher for each of the gateway's devices "dev1" … "dev<n>"; `tune` may change each one's options.
  Fleet(const Gateway& gateway, int devices, uint64_t count,
        const std::function<void(Publisher::Options*)>& tune = nullptr) {
    for (int i = 1; i <= devices; ++i) {
      Publisher::Options options = gateway.Device("dev" + std::to_string(i), count);
      if (tune) tune(&options);
      publishers_.push_back(std::make_unique<Publisher>(options));
    }
  }

  // `count` messages of each device in all.
  void Allow(uint64_t count) {
    for (auto& p : publishers_) p->Allow(count);
  }
  bool WaitUntilAcknowledged(uint64_t each, absl::Duration timeout = kPatience) {
    bool all = true;
    for (auto& p : publishers_) all = p->WaitUntilAcknowledged(each, timeout) && all;
    return all;
  }
  // Stops sending; true once everything sent is acknowledged.
  bool Finish(absl::Duration timeout = kPatience) {
    bool all = true;
    for (auto& p : publishers_) all = p->Finish(timeout) && all;
    return all;
  }

  std::map<std::string, uint64_t> acknowledged() const {
    std::map<std::string, uint64_t> result;
    for (const auto& p : publishers_) result[p->device()] = p->acknowledged();
    return result;
  }
  uint64_t total_acknowledged() const {
    uint64_t total = 0;
    for (const auto& p : publishers_) total += p->acknowledged();
    return total;
  }
  uint64_t resent() const {
    uint64_t total = 0;
    for (const auto& p : publishers_) total += p->resent();
    return total;
  }
  Publisher& operator[](size_t i) { return *publishers_[i]; }
  size_t size() const { return publishers_.size(); }

 private:
  std::vector<std::unique_ptr<Publisher>> publishers_;
};

// "dev1" … "dev<n>".
inline std::vector<std::string> DeviceNames(int n) {
  std::vector<std::string> names;
  for (int i = 1; i <= n; ++i) names.push_back("dev" + std::to_string(i));
  return names;
}

// What every delivery must be, whatever happened on the way: nothing lost (P1), in order per device (P2), at most so
// many copies (P3).
inline void ExpectDelivered(const Fleet& fleet, const std::vector<Arrival>& arrivals, uint64_t duplicates_max) {
  const DeliveryReport report = Compare(fleet.acknowledged(), arrivals);
  EXPECT_GT(report.acknowledged, 0u) << report.Text();
  EXPECT_EQ(report.lost, 0u) << report.Text();
  EXPECT_EQ(report.out_of_order, 0u) << report.Text();
  EXPECT_LE(report.duplicates, duplicates_max) << report.Text();
  EXPECT_EQ(report.wrong_topic, 0u) << report.Text();
}

}  // namespace holdfast::systest
