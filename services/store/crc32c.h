#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast::store {

// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `data`, going on from `crc`, the value for what came before (0 at the
// start). Uses the processor's instruction where there is one.
uint32_t Crc32c(std::string_view data, uint32_t crc = 0);

}  // namespace holdfast::store
