#include "cli/web/history.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace holdfast::web {
namespace {

constexpr absl::Duration kMinute = absl::Minutes(1);

int64_t MinuteOf(absl::Duration at) {
  return absl::ToInt64Minutes(at);
}

nlohmann::json Value(const std::optional<uint64_t>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}
nlohmann::json Value(const std::optional<uint32_t>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}
// A tenth is all that is drawn.
nlohmann::json Value(const std::optional<double>& value) {
  return value ? nlohmann::json(std::round(*value * 10) / 10) : nlohmann::json(nullptr);
}

std::optional<double> Mean(const std::deque<Sample>& samples, std::optional<double> Sample::*member) {
  double sum = 0;
  int count = 0;
  for (const Sample& sample : samples) {
    if (!(sample.*member).has_value()) continue;
    sum += *(sample.*member);
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / count;
}

void Push(const Sample& sample, size_t max, std::deque<Sample>* samples) {
  samples->push_back(sample);
  if (samples->size() > max) samples->pop_front();
}

}  // namespace

std::string_view Name(LinkSight link) {
  switch (link) {
    case LinkSight::kAway:
      return "away";
    case LinkSight::kOffline:
      return "offline";
    case LinkSight::kConnecting:
      return "connecting";
    case LinkSight::kSuspect:
      return "suspect";
    case LinkSight::kSyncing:
      return "syncing";
    case LinkSight::kOnline:
      return "online";
  }
  return "away";
}

void History::Add(const Sample& sample) {
  Push(sample, kFineMax, &fine_);
  if (!minute_.empty() && MinuteOf(minute_.front().at) != MinuteOf(sample.at)) CloseMinute();
  Push(sample, kFineMax, &minute_);
}

void History::CloseMinute() {
  Sample whole = {.at = MinuteOf(minute_.front().at) * kMinute, .link = LinkSight::kOnline};
  for (const Sample& sample : minute_) {
    whole.link = std::min(whole.link, sample.link);
    if (sample.backlog.has_value()) whole.backlog = std::max(whole.backlog.value_or(0), *sample.backlog);
    if (sample.clients.has_value()) whole.clients = sample.clients;
  }
  whole.in_per_second = Mean(minute_, &Sample::in_per_second);
  whole.out_per_second = Mean(minute_, &Sample::out_per_second);
  Push(whole, kCoarseMax, &coarse_);
  minute_.clear();
}

nlohmann::json ColumnsJson(const std::deque<Sample>& samples) {
  const auto list = nlohmann::json::array();
  nlohmann::json columns = {{"at", list}, {"link", list}, {"backlog", list},
                            {"in", list}, {"out", list},  {"clients", list}};
  for (const Sample& sample : samples) {
    const nlohmann::json row = SampleJson(sample);
    for (auto& [name, column] : columns.items()) column.push_back(row[name]);
  }
  return columns;
}

nlohmann::json SampleJson(const Sample& sample) {
  return {{"at", absl::ToInt64Milliseconds(sample.at)}, {"link", Name(sample.link)},
          {"backlog", Value(sample.backlog)},           {"in", Value(sample.in_per_second)},
          {"out", Value(sample.out_per_second)},        {"clients", Value(sample.clients)}};
}

}  // namespace holdfast::web
