#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/child_process.h"
#include "cli/dev_hub.h"
#include "deploy/demo/hub.h"
#include "deploy/demo/ledger.h"
#include "tests/hubsim/control_client.h"

namespace holdfast::demo {

// A hub of the IoT Hub contract, simulated: the gateway has its devices from it, and one connection for each. It is
// lost as hubs are: nothing answers on its ports.
class SimulatedHub final : public Hub {
 public:
  // `program`: holdfast-hubsim. Its files go to `dir`.
  static absl::StatusOr<std::unique_ptr<SimulatedHub>> Create(std::string program, const std::string& dir, int devices,
                                                              Ledger* ledger);

  std::string Name() const override { return "a simulated IoT hub"; }
  absl::Status Start(const Waiter& wait) override;
  absl::Status Lose(const Waiter& wait) override;
  std::string Upstream() const override;
  std::vector<std::string> GatewayEnvironment() const override { return hub_.environment; }
  std::vector<cli::DevDevice> Devices() const override { return hub_.devices; }

 private:
  SimulatedHub(std::string program, std::string dir, cli::DevHub hub, Ledger* ledger)
      : program_(std::move(program)),
        dir_(std::move(dir)),
        hub_(std::move(hub)),
        ledger_(ledger),
        control_(hub_.control_port) {}

  const std::string program_;
  const std::string dir_;
  const cli::DevHub hub_;
  Ledger* const ledger_;
  const hubsim::ControlClient control_;
  std::unique_ptr<cli::ChildProcess> process_;
  std::unique_ptr<hubsim::EventStream> application_;
};

}  // namespace holdfast::demo
