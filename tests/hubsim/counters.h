#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace holdfast::hubsim {

// What happened since the start. Not thread-safe.
struct Counters {
  uint64_t messages = 0;
  uint64_t message_bytes = 0;  // bodies
  uint64_t pubacks = 0;
  uint64_t connects = 0;  // CONNACK 0
  std::array<uint64_t, 6> connacks{};
  uint64_t takeovers = 0;
  uint64_t twin_gets = 0;
  uint64_t reported_patches = 0;
  uint64_t desired_pushes = 0;
  uint64_t methods = 0;
  uint64_t c2d_sent = 0;
  uint64_t c2d_completed = 0;
  uint64_t scope_pages = 0;
  uint64_t scope_identities = 0;           // requests for a single one
  std::map<std::string, uint64_t> closed;  // connections by reason
  std::map<int, uint64_t> rest;            // answers by status
};

}  // namespace holdfast::hubsim
