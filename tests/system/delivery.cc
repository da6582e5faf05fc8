#include "tests/system/delivery.h"

#include <fmt/format.h>

#include <charconv>
#include <set>

namespace holdfast::systest {

std::string MakePayload(std::string_view device, uint64_t sequence, size_t bytes_min) {
  std::string payload = fmt::format("{} {} ", device, sequence);
  if (payload.size() < bytes_min) payload.append(bytes_min - payload.size(), 'x');
  return payload;
}

bool ParsePayload(std::string_view payload, Arrival* arrival) {
  const size_t space = payload.find(' ');
  if (space == std::string_view::npos) return false;
  arrival->device = std::string(payload.substr(0, space));
  const char* begin = payload.data() + space + 1;
  return std::from_chars(begin, payload.data() + payload.size(), arrival->sequence).ec == std::errc();
}

std::string DeliveryReport::Text() const {
  return fmt::format("acknowledged {} delivered {} lost {} duplicates {} out of order {} wrong topic {}", acknowledged,
                     delivered, lost, duplicates, out_of_order, wrong_topic);
}

DeliveryReport Compare(const std::map<std::string, uint64_t>& acknowledged, const std::vector<Arrival>& arrivals) {
  struct Seen {
    std::vector<bool> sequences;
    uint64_t next = 0;  // one above the highest so far
  };
  std::map<std::string, Seen> seen;
  DeliveryReport report;
  for (const Arrival& arrival : arrivals) {
    Seen& device = seen[arrival.device];
    if (device.sequences.size() <= arrival.sequence) device.sequences.resize(arrival.sequence + 1);
    if (device.sequences[arrival.sequence]) {
      ++report.duplicates;
    } else {
      device.sequences[arrival.sequence] = true;
      ++report.delivered;
      if (arrival.sequence < device.next) ++report.out_of_order;
    }
    if (arrival.sequence >= device.next) device.next = arrival.sequence + 1;
    if (!arrival.topic.starts_with(fmt::format("devices/{}/", arrival.device))) ++report.wrong_topic;
  }
  for (const auto& [name, count] : acknowledged) {
    report.acknowledged += count;
    const std::vector<bool>& sequences = seen[name].sequences;
    for (uint64_t i = 0; i < count; ++i) {
      if (i >= sequences.size() || !sequences[i]) ++report.lost;
    }
  }
  return report;
}

}  // namespace holdfast::systest
