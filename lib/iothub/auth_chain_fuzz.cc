#include <cstdint>
#include <cstdlib>

#include "lib/iothub/auth_chain.h"

// Whatever is accepted has sound ids, a bounded length, and reads the same when it is written again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::iothub;
  const auto chain = ParseAuthChain(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!chain.ok()) return 0;
  if (chain->devices.empty() || chain->devices.size() > kAuthChainDevicesMax) std::abort();
  std::string again = chain->client.ClientId();
  for (size_t i = chain->client.module_id.empty() ? 1 : 0; i < chain->devices.size(); ++i) {
    if (!IsId(chain->devices[i])) std::abort();
    again += ";" + chain->devices[i];
  }
  const auto second = ParseAuthChain(again);
  if (!second.ok() || second->client != chain->client || second->devices != chain->devices) std::abort();
  return 0;
}
