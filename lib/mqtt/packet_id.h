// Packet identifiers of a sender with a window: the n-th packet of a session (from 0) gets identifier n mod 65,535 + 1.
// Since a window of less than 65,535 packets is contiguous in n, an identifier comes round again only when its last
// holder has left the window: no table of identifiers in use is needed, and the sender finds a packet by its identifier
// by arithmetic.
#pragma once

#include <cstdint>

namespace holdfast::mqtt {

inline constexpr uint32_t kPacketIds = 65'535;

constexpr uint16_t PacketIdOf(uint64_t n) {
  return static_cast<uint16_t>(n % kPacketIds + 1);
}

// The one n in [first, first + 65,535) with this identifier. `packet_id` must not be 0. It is the caller's to check
// that n is below the end of the window: a peer may acknowledge what was never sent.
constexpr uint64_t PacketIndex(uint16_t packet_id, uint64_t first) {
  return first + (packet_id - 1u + kPacketIds - first % kPacketIds) % kPacketIds;
}

}  // namespace holdfast::mqtt
