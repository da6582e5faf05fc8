#include "services/store/crc32c.h"

#include <array>
#include <cstring>

namespace holdfast::store {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, bits reversed

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

uint32_t Portable(std::string_view data, uint32_t state) {
  for (const char c : data) state = (state >> 8) ^ kTable[(state ^ static_cast<uint8_t>(c)) & 0xff];
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Hardware(std::string_view data, uint32_t state) {
  uint64_t wide = state;
  while (data.size() >= sizeof(uint64_t)) {
    uint64_t chunk = 0;
    std::memcpy(&chunk, data.data(), sizeof chunk);
    wide = __builtin_ia32_crc32di(wide, chunk);
    data.remove_prefix(sizeof chunk);
  }
  state = static_cast<uint32_t>(wide);
  for (const char c : data) state = __builtin_ia32_crc32qi(state, static_cast<unsigned char>(c));
  return state;
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view data, uint32_t crc) {
#if defined(__x86_64__)
  static const bool hardware = __builtin_cpu_supports("sse4.2") != 0;
  if (hardware) return ~Hardware(data, ~crc);
#endif
  return ~Portable(data, ~crc);
}

}  // namespace holdfast::store
