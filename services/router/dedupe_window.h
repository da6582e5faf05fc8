// Recognises a PUBLISH that a client sends again after a reconnect (MQTT 3.1.1, 4.4: DUP set, same packet identifier).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace holdfast::router {

// The last `size` QoS 1 messages of one client, 8 bytes each: packet identifier and 48 bits of a hash of topic and
// payload. It grows with use up to its size. Not thread-safe.
class DedupeWindow {
 public:
  explicit DedupeWindow(size_t size) : size_(size) {}

  void Remember(uint16_t packet_id, std::string_view topic, std::string_view payload);
  // Whether the latest message remembered under this identifier is the same one.
  bool Contains(uint16_t packet_id, std::string_view topic, std::string_view payload) const;
  // After this nothing is recognised: for when what was remembered was not stored after all.
  void Clear();

 private:
  size_t size_;
  size_t next_ = 0;  // where the next entry goes, once the vector is full
  std::vector<uint64_t> entries_;
};

}  // namespace holdfast::router
