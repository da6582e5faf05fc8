#include "deploy/demo/simulated_hub.h"

#include <fmt/format.h>

#include "cli/free_ports.h"
#include "lib/base/status.h"

namespace holdfast::demo {
namespace {

constexpr char kHubHostname[] = "holdfast.local";
constexpr absl::Duration kPatience = absl::Seconds(30);

}  // namespace

absl::StatusOr<std::unique_ptr<SimulatedHub>> SimulatedHub::Create(std::string program, const std::string& dir,
                                                                   int devices, Ledger* ledger) {
  ASSIGN_OR_RETURN(cli::DevHub hub, cli::PrepareDevHub(dir + "/hub", kHubHostname, devices, /*modules=*/0));
  return std::unique_ptr<SimulatedHub>(new SimulatedHub(std::move(program), dir, std::move(hub), ledger));
}

absl::Status SimulatedHub::Start(const Waiter& wait) {
  if (process_ != nullptr) return control_.ClearFaults();
  std::string command = fmt::format("exec '{}'", program_);
  for (const std::string& argument : hub_.arguments) command += fmt::format(" '{}'", argument);
  command += fmt::format(" >'{0}/hub.log' 2>&1", dir_);
  ASSIGN_OR_RETURN(process_, cli::ChildProcess::Start({"hub", {"/bin/sh", "-c", command}, {}}));
  RETURN_IF_ERROR(wait("the simulated hub to listen", kPatience,
                       [this] { return process_->HasEnded() || cli::PortAnswers(hub_.control_port); }));
  if (process_->HasEnded()) {
    return absl::UnavailableError(fmt::format("the simulated hub does not start; see {}/hub.log", dir_));
  }
  application_ = std::make_unique<hubsim::EventStream>(
      hub_.control_port, 0, [this](const hubsim::Event& event) { ledger_->DeliveredPayload(event.body); });
  return wait("the application to read what arrives", kPatience, [this] { return application_->open(); });
}

absl::Status SimulatedHub::Lose(const Waiter& wait) {
  RETURN_IF_ERROR(control_.AddFault({{"kind", "refuse"}}));
  return WaitUntilQuiet(*ledger_, wait);
}

std::string SimulatedHub::Upstream() const {
  return fmt::format("iothub://localhost:{}", hub_.mqtts_port);
}

}  // namespace holdfast::demo
