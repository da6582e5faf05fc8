#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/unique_fd.h"

namespace holdfast::rpc {

// A gRPC server on <run_dir>/<service>/<instance>.sock (mode 0660), with grpc.health.v1, server reflection and
// channelz. The socket belongs to whoever holds the lock on <instance>.lock beside it: a dead process's socket is
// replaced, a living one's is refused with FAILED_PRECONDITION. It appears under its name when it answers. Health: ""
// and the full name of each registered service, NOT_SERVING until SetServing(). Thread-safe.
class Server {
 public:
  struct Options {
    std::string run_dir;
    std::string service;  // "store"
    std::string instance = "0";
    int message_bytes_max = 8 << 20;
  };

  // The services must outlive the server. Serves at once.
  static absl::StatusOr<std::unique_ptr<Server>> Create(const Options& options,
                                                        const std::vector<grpc::Service*>& services);
  ~Server();

  // Health of one gRPC service by full name ("holdfast.store.v1.Queues"), or of "" = the process.
  void SetServing(const std::string& name, bool serving);
  // All of them.
  void SetServing(bool serving);

  // NOT_SERVING, then no new calls, then waits up to `grace` for those in flight, then cancels them and removes the
  // socket. A stream that never ends must be ended by its service before. Idempotent.
  void Stop(absl::Duration grace = absl::Seconds(5));

  const std::string& socket_path() const { return socket_path_; }

 private:
  Server() = default;
  std::string socket_path_;
  UniqueFd lock_;
  std::vector<std::string> names_;
  std::unique_ptr<grpc::Server> server_;
  bool stopped_ = false;
};

}  // namespace holdfast::rpc
