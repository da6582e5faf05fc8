#include "lib/service/supervisor_notice.h"

#include <grpcpp/grpcpp.h>
#include <systemd/sd-daemon.h>

#include <utility>

#include "absl/time/time.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/rpc/channel.h"

namespace holdfast {
namespace {

// Of the watchdog's time: as sd_watchdog_enabled(3) recommends, and room for one check that is late.
constexpr int kPingsPerPeriod = 3;

}  // namespace

SupervisorNotice::SupervisorNotice(std::string socket_path) : socket_path_(std::move(socket_path)) {
  if (sd_watchdog_enabled(/*unset_environment=*/0, nullptr) > 0) thread_ = std::thread([this] { Watch(); });
}

SupervisorNotice::~SupervisorNotice() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void SupervisorNotice::Ready() {
  sd_notify(/*unset_environment=*/0, "READY=1");
}

void SupervisorNotice::Stopping() {
  sd_notify(/*unset_environment=*/0, "STOPPING=1");
}

void SupervisorNotice::Watch() {
  uint64_t microseconds = 0;
  sd_watchdog_enabled(/*unset_environment=*/0, &microseconds);
  const absl::Duration interval = absl::Microseconds(microseconds) / kPingsPerPeriod;
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel("unix:" + socket_path_, grpc::InsecureChannelCredentials()));
  while (true) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, interval);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, {}, &response);
    if (status.ok()) {
      sd_notify(/*unset_environment=*/0, "WATCHDOG=1");
    } else {
      spdlog::error("the process's own gRPC server does not answer reason=\"{}\"", status.error_message());
    }
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), interval)) return;
  }
}

}  // namespace holdfast
