#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/system/gateway.h"
#include "tests/system/hubsim.h"

namespace holdfast::systest {

// The simulated hub with a gateway "edge" in its registry, that gateway's children, and the gateway itself, of the real
// binaries. Not thread-safe.
class HubGateway {
 public:
  // `children`: "dev1", or "dev1/mod1" for a module of it; `config` and `env` as in Gateway::Options. Starts nothing
  // but the hub.
  explicit HubGateway(const std::vector<std::string>& children, std::map<std::string, std::string> config = {},
                      std::map<std::string, std::map<std::string, std::string>> env = {});

  // Starts the gateway. True once its link is online: it has its identities then.
  bool StartOnline();

  Hubsim& hub() { return hub_; }
  Gateway& gateway() { return *gateway_; }

  // For a publisher of that child at the gateway.
  Publisher::Options Device(const std::string& child, uint64_t count = UINT64_MAX) const;

  // Telemetry in the order of its arrival; `topic` is made of the identity whose connection it came on, so that
  // Compare's wrong_topic counts messages that came on another's.
  std::vector<Arrival> Arrivals() const;
  size_t ReceivedOf(const std::string& child) const;
  uplink::v1::GetUplinkStatusResponse Status() const;

 private:
  Hubsim hub_;
  const TempDir dir_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace holdfast::systest
