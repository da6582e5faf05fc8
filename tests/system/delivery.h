#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::systest {

// One message as it arrived at the hub.
struct Arrival {
  std::string device;
  uint64_t sequence = 0;
  std::string topic;
};

// The payload that publishers send and hubs read: "device sequence padding".
std::string MakePayload(std::string_view device, uint64_t sequence, size_t bytes_min);
// False if it is not of that form.
bool ParsePayload(std::string_view payload, Arrival* arrival);

// Sent, acknowledged and delivered, compared: what the demo's table shows.
struct DeliveryReport {
  uint64_t acknowledged = 0;
  uint64_t delivered = 0;     // different messages
  uint64_t lost = 0;          // acknowledged to the device and never delivered
  uint64_t duplicates = 0;    // further copies
  uint64_t out_of_order = 0;  // first copies that came after a later message of the same device
  uint64_t wrong_topic = 0;   // delivered under another identity's topic
  std::string Text() const;
};

// `acknowledged`: for each device, how many messages (sequences 0 to n - 1) were acknowledged to it.
DeliveryReport Compare(const std::map<std::string, uint64_t>& acknowledged, const std::vector<Arrival>& arrivals);

}  // namespace holdfast::systest
