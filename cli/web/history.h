#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace holdfast::web {

// The link as it is drawn: uplink's states, and that uplink can't be asked. A greater one is better.
enum class LinkSight : uint8_t { kAway = 0, kOffline = 1, kConnecting = 2, kSuspect = 3, kSyncing = 4, kOnline = 5 };
std::string_view Name(LinkSight link);

// What is drawn of one moment. What could not be asked has no value.
struct Sample {
  absl::Duration at;  // on a clock that does not jump
  LinkSight link = LinkSight::kAway;
  std::optional<uint64_t> backlog;       // messages for the hub
  std::optional<double> in_per_second;   // from clients, acknowledged
  std::optional<double> out_per_second;  // acknowledged by the hub
  std::optional<uint32_t> clients;
};

// The last hour as it was sampled, and the last day a minute each: of a minute the worst link, the largest backlog, the
// mean of the rates, the last number of clients. Bounded; in memory only. Pure; not thread-safe.
class History {
 public:
  static constexpr size_t kFineMax = 3'600;
  static constexpr size_t kCoarseMax = 1'440;

  // `at` must not go back.
  void Add(const Sample& sample);

  const std::deque<Sample>& fine() const { return fine_; }
  const std::deque<Sample>& coarse() const { return coarse_; }

 private:
  void CloseMinute();

  std::deque<Sample> fine_;
  std::deque<Sample> coarse_;
  // The minute that is not over.
  std::deque<Sample> minute_;
};

// {"at": [ms], "link": [state], "backlog": [n or null], "in": […], "out": […], "clients": […]}, oldest first. Columns,
// since an hour of objects would be four times as long.
nlohmann::json ColumnsJson(const std::deque<Sample>& samples);
// {"at", "link", "backlog", "in", "out", "clients"}
nlohmann::json SampleJson(const Sample& sample);

}  // namespace holdfast::web
