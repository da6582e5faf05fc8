// Recognises a PUBLISH that a client sends again after a reconnect (MQTT 3.1.1, 4.4: DUP set, same packet identifier).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace holdfast::router {

// Packet identifiers.
using PacketIdSet = std::vector<bool>;
inline constexpr size_t kPacketIds = 65'536;

// The last `size` QoS 1 messages of one client, 8 bytes each: packet identifier and 48 bits of a hash of property bag
// and body, which is the same on every machine and in every process. It grows with use up to its size. Not thread-safe.
class DedupeWindow {
 public:
  explicit DedupeWindow(size_t size) : size_(size) {}

  void Remember(uint16_t packet_id, std::string_view bag, std::string_view body);
  // Whether the latest message remembered under this identifier is the same one.
  bool Contains(uint16_t packet_id, std::string_view bag, std::string_view body) const;
  // After this nothing is recognised: for when what was remembered was not stored after all.
  void Clear();

  // Up to `count` of the latest entries, the oldest first, without those whose identifier is in `without`.
  std::vector<uint64_t> Save(size_t count, const PacketIdSet& without) const;
  // Remembers what was saved.
  void Load(const std::vector<uint64_t>& entries);

 private:
  void Add(uint64_t entry);

  size_t size_;
  size_t next_ = 0;  // where the next entry goes, once the vector is full
  std::vector<uint64_t> entries_;
};

}  // namespace holdfast::router
