// For tests: small documents and patches by chance, with few names, so that they often meet.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace holdfast::twin {

class RandomJson {
 public:
  explicit RandomJson(uint32_t seed) : engine_(seed) {}

  // 0 … n-1
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }
  bool OneIn(uint32_t n) { return Below(n) == 0; }

  nlohmann::json Document() { return Object(0, /*nulls=*/false); }
  nlohmann::json Patch() { return Object(0, /*nulls=*/true); }

 private:
  nlohmann::json Object(int depth, bool nulls) {
    nlohmann::json out = nlohmann::json::object();
    for (const char* name : {"a", "b", "c"}) {
      if (OneIn(2)) out[name] = Value(depth + 1, nulls);
    }
    return out;
  }
  nlohmann::json Value(int depth, bool nulls) {
    if (nulls && OneIn(3)) return nullptr;
    if (depth < 3 && OneIn(2)) return Object(depth, nulls);
    if (OneIn(4)) return nlohmann::json::array({Below(2)});
    return Below(3);
  }

  std::mt19937 engine_;
};

}  // namespace holdfast::twin
