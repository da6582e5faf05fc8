#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/config/config.h"
#include "services/store/engine.h"

namespace holdfast::store {

// The section [store] of holdfast.toml. README.md lists the keys.
struct StoreOptions {
  Engine::Options engine;
  std::string metrics_address;  // "" = none
};

// INVALID_ARGUMENT with the line of the first bad key.
absl::StatusOr<StoreOptions> ReadStoreOptions(const ConfigFile& file, const GatewayOptions& gateway);

}  // namespace holdfast::store
