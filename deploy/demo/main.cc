// `holdfast-demo`: shows the main job in under a minute. Exit code 0 only if nothing was lost and nothing came out of
// order.
#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "cli/output.h"
#include "deploy/demo/scenario.h"
#include "lib/testing/temp_dir.h"

namespace {

using holdfast::demo::Scenario;
using holdfast::demo::ScenarioOptions;
using holdfast::demo::Totals;

constexpr size_t kLogTail = 15;

// Blocks the two for this thread and those that it starts; they are asked for instead.
sigset_t BlockStopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

void PrintTotals(const Totals& t) {
  holdfast::cli::Table table({"SENT", "ACKNOWLEDGED", "DELIVERED", "LOST", "DUPLICATED", "OUT OF ORDER"});
  table.Add({fmt::to_string(t.sent), fmt::to_string(t.acknowledged), fmt::to_string(t.delivered),
             fmt::to_string(t.lost), fmt::to_string(t.duplicated), fmt::to_string(t.out_of_order)});
  fmt::print("\n{}\n", table.Text());
}

void PrintLogTail(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(std::move(line));
  if (lines.empty()) return;
  fmt::print(stderr, "\nThe end of the gateway's log:\n");
  for (size_t i = lines.size() > kLogTail ? lines.size() - kLogTail : 0; i < lines.size(); ++i)
    fmt::print(stderr, "  {}\n", lines[i]);
}

int Play(ScenarioOptions options, const sigset_t& stop_signals) {
  const std::string dir = options.dir;
  bool stopped = false;
  absl::Status status;
  Totals totals;
  std::vector<std::string> lost;
  {
    Scenario scenario(std::move(options), [&] {
      const timespec zero{};
      if (::sigtimedwait(&stop_signals, nullptr, &zero) > 0) stopped = true;
      return stopped;
    });
    status = scenario.Run();
    totals = scenario.totals();
    lost = scenario.Lost(10);
  }
  if (stopped) {
    fmt::print("\nStopped; nothing is left behind.\n");
    return 1;
  }
  if (!status.ok()) {
    fmt::print(stderr, "\ndemo: {}\n", std::string(status.message()));
    PrintLogTail(dir + "/gateway.log");
  }
  PrintTotals(totals);
  for (const std::string& message : lost) fmt::print("lost: {}\n", message);
  const bool good = status.ok() && totals.lost == 0 && totals.out_of_order == 0;
  fmt::print("{}\n", good ? "Nothing was lost, and everything arrived in order." : "FAILED");
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t stop_signals = BlockStopSignals();
  ScenarioOptions options;
  double phase_seconds = absl::ToDoubleSeconds(options.phase);
  bool keep = false;
  CLI::App app{"Holdfast's main job, shown: telemetry survives an outage, in order."};
  app.add_option("--devices", options.devices, "Simulated devices")->check(CLI::Range(1, 200))->capture_default_str();
  app.add_option("--rate", options.messages_per_second, "Messages per second of each device")
      ->check(CLI::Range(1, 2000))
      ->capture_default_str();
  app.add_option("--phase", phase_seconds, "Seconds that each phase lasts")
      ->check(CLI::Range(0.5, 600.0))
      ->capture_default_str();
  app.add_flag("--mosquitto", options.with_mosquitto, "A mosquitto as the hub, instead of a simulated IoT hub");
  app.add_flag("--keep", keep, "Leaves the folder with data and logs");
  CLI11_PARSE(app, argc, argv);
  options.phase = absl::Seconds(phase_seconds);
  std::error_code error;
  options.bin_dir = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  const holdfast::TempDir dir;
  options.dir = dir.path();
  const int code = Play(options, stop_signals);
  if (keep) {
    const std::string kept = dir.path() + "-kept";
    std::filesystem::rename(dir.path(), kept, error);
    fmt::print("Kept: {}\n", kept);
  }
  return code;
}
