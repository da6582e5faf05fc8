// The queues of the store that more than one service knows.
#pragma once

#include <string>
#include <string_view>

#include "lib/iothub/user_name.h"

namespace holdfast {

// Bound for the hub. Read by the consumer kUpstreamConsumer, whichever uplink leads.
inline constexpr std::string_view kUpstreamQueue = "upstream";
inline constexpr std::string_view kUpstreamConsumer = "uplink";
// Messages for clients, one queue each: a device's inbox (cloud-to-device), and all inputs of a module
// (Envelope.input_name). Read by the consumer kClientConsumer, whichever router holds the session.
inline constexpr std::string_view kInboxQueues = "inbox/";
inline constexpr std::string_view kInputQueues = "inputs/";
inline constexpr std::string_view kClientConsumer = "client";

// "inbox/dev1", "inputs/dev1/mod1".
inline std::string ClientQueue(const iothub::Identity& client) {
  return std::string(client.module_id.empty() ? kInboxQueues : kInputQueues) + client.ClientId();
}

}  // namespace holdfast
