#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/dev_device.h"
#include "deploy/demo/ledger.h"

namespace holdfast::demo {

// The hub of the demo, with the application behind it that writes into the ledger what arrives.
class Hub {
 public:
  // Goes on until the condition holds, at most so long; an error says what was waited for.
  using Waiter = std::function<absl::Status(const std::string& what, absl::Duration timeout,
                                            const std::function<bool()>& condition)>;

  virtual ~Hub() = default;

  // "mosquitto", for people.
  virtual std::string Name() const = 0;
  // There, and the gateway can reach it; also again, after Lose().
  virtual absl::Status Start(const Waiter& wait) = 0;
  // Gone. What it had acknowledged has reached the application.
  virtual absl::Status Lose(const Waiter& wait) = 0;

  // What `holdfast dev` needs to find it.
  virtual std::string Upstream() const = 0;
  virtual std::vector<std::string> GatewayEnvironment() const { return {}; }
  // Devices that the hub knows, and the gateway only by it. Empty: the gateway has its own.
  virtual std::vector<cli::DevDevice> Devices() const { return {}; }
};

// Nothing more arrives.
absl::Status WaitUntilQuiet(const Ledger& ledger, const Hub::Waiter& wait);

}  // namespace holdfast::demo
