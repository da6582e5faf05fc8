#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/metrics.h"
#include "services/auth/workload_api.h"

namespace holdfast::auth {

// "<run_dir>/workload/<module>/workload.sock": what a module's container mounts the folder of.
std::string WorkloadSocketPath(const std::string& run_dir, std::string_view module_id);

// INVALID_ARGUMENT with what is wrong, unless `module_id` is an id that a folder and a URI can carry as it is.
absl::Status CheckWorkloadModule(const std::string& run_dir, std::string_view module_id);

// HTTP/1.1 on one Unix socket a module, so that who asks is known by the door. Folder 0750, socket 0660, in a thread of
// its own. The sockets belong to whoever holds the lock on <run_dir>/workload/~lock: sockets of a dead process are
// replaced, a living one's are left alone, and this one takes over when that one ends. Thread-safe.
class WorkloadServer {
 public:
  static constexpr size_t kConnectionsMax = 16;                  // of one socket; further ones wait
  static constexpr absl::Duration kTimeout = absl::Seconds(30);  // for a request, for its answer, between requests
  static constexpr absl::Duration kTakeOverEvery = absl::Seconds(1);

  struct Options {
    std::string run_dir;
    std::vector<std::string> modules;
    absl::Duration timeout = kTimeout;
  };

  // `api` and `metrics` must outlive it. Serves at once; no thread if there are no modules.
  static absl::StatusOr<std::unique_ptr<WorkloadServer>> Create(const Options& options, const WorkloadApi& api,
                                                                Metrics& metrics);
  ~WorkloadServer();

  // Closes everything and removes the sockets. Idempotent.
  void Stop();

 private:
  class Impl;
  explicit WorkloadServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::auth
