#pragma once

#include <sys/types.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/child_process.h"
#include "deploy/demo/device.h"
#include "deploy/demo/hub.h"
#include "deploy/demo/ledger.h"

namespace holdfast::demo {

struct ScenarioOptions {
  std::string bin_dir;          // Of the programs.
  bool with_mosquitto = false;  // as the hub, instead of a simulated IoT hub
  std::string dir;              // For all files.
  int devices = 20;
  int messages_per_second = 100;  // Each.
  absl::Duration phase = absl::Seconds(4);
};

// The main job, played once: hub there, hub gone, processes killed, gateway restarted offline, hub back, drained. All
// processes are children of the thread that calls Run(). Not thread-safe. The destructor ends whatever still runs.
class Scenario {
 public:
  // `stop_wanted` is asked often; true ends Run() with CANCELLED. SIGINT and SIGTERM must be blocked.
  Scenario(ScenarioOptions options, std::function<bool()> stop_wanted);
  ~Scenario();

  // Error: something did not happen in time; the sentence says what.
  absl::Status Run();

  Totals totals() const { return ledger_.Count(); }
  std::vector<std::string> Lost(size_t limit) const { return ledger_.Lost(limit); }

 private:
  absl::Status MakeHub();
  absl::Status StartGateway();
  absl::Status StopGateway();
  absl::Status KillService(const std::string& service);
  absl::Status AwaitSync();
  absl::Status StartDevices();
  absl::Status Drain();

  void Announce(const std::string& text);
  void ShowLine();
  std::string LinkState();
  int ConnectedDevices();
  // Goes on until `condition` holds: the live line, Ctrl-C, the gateway's unexpected end. DEADLINE_EXCEEDED with
  // `what`.
  absl::Status WaitFor(const std::string& what, absl::Duration timeout, const std::function<bool()>& condition);
  absl::Status Pass(absl::Duration time);
  // WaitFor(), for the hub.
  Hub::Waiter Waiter();
  // Runs `f` on the I/O thread and waits for it.
  void OnIo(const std::function<void()>& f);

  const ScenarioOptions options_;
  const std::function<bool()> stop_wanted_;
  const bool tty_;
  const absl::Time start_;
  Ledger ledger_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::unique_ptr<Hub> hub_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::unique_ptr<cli::ChildProcess> gateway_;
  std::string run_dir_;
  absl::Time shown_at_ = absl::InfinitePast();
  Totals shown_;
  std::thread io_thread_;
};

}  // namespace holdfast::demo
