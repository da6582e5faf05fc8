#include "services/router/client_queues.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/queue_names.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(10);
constexpr absl::Duration kRetryMin = absl::Milliseconds(50);
constexpr absl::Duration kRetryMax = absl::Seconds(2);
// Identities that are removed at a time, and routes, are fewer: what is beyond is left to the queues' TTL.
constexpr size_t kJobsMax = 100'000;

std::unique_ptr<store::v1::Queues::Stub> Stub(rpc::Channels* store) {
  return store::v1::Queues::NewStub(store->Pick());
}

}  // namespace

ClientQueues::ClientQueues(rpc::Channels* store, int64_t bytes_max)
    : store_(store), bytes_max_(bytes_max), thread_([this] { Run(); }) {}

void ClientQueues::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    if (calling_ != nullptr) calling_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

void ClientQueues::Add(Job job) {
  absl::MutexLock lock(&mutex_);
  if (!stopped_ && jobs_.size() < kJobsMax) jobs_.push_back(std::move(job));
}

void ClientQueues::Configure(const std::vector<std::string>& queues, int32_t ttl_seconds) {
  for (const std::string& queue : queues) Add([=, this] { return ConfigureOne(queue, ttl_seconds); });
}

void ClientQueues::Delete(const Identity& identity, bool with_modules) {
  Add([this, queue = ClientQueue(identity)] { return DeleteOne(queue); });
  if (with_modules)
    Add([this, prefix = ClientQueue({identity.device_id, ""})] {
      return DeleteAll(std::string(kInputQueues) + prefix.substr(kInboxQueues.size()) + "/");
    });
}

void ClientQueues::Run() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  while (true) {
    Job job;
    {
      absl::MutexLock lock(&mutex_);
      const auto something = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || !jobs_.empty(); };
      mutex_.Await(absl::Condition(&something));
      if (stopped_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    absl::Status status = job();
    while (rpc::IsTransient(status)) {
      {
        absl::MutexLock lock(&mutex_);
        if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), backoff.Next())) return;
      }
      status = job();
    }
    backoff.Reset();
    if (!status.ok() && !absl::IsCancelled(status)) {
      spdlog::error("the queue of a client can't be set up, or deleted reason=\"{}\"", Text(status));
    }
  }
}

absl::Status ClientQueues::Call(const std::function<absl::Status(grpc::ClientContext*)>& call) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kCallTimeout);
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return absl::CancelledError("stopping");
    calling_ = &context;
  }
  absl::Status status = call(&context);
  absl::MutexLock lock(&mutex_);
  calling_ = nullptr;
  return status;
}

absl::Status ClientQueues::ConfigureOne(const std::string& queue, int32_t ttl_seconds) {
  store::v1::ConfigureQueueRequest request;
  request.set_queue(queue);
  request.mutable_settings()->set_full_policy(store::v1::FULL_POLICY_DROP_OLDEST);
  request.mutable_settings()->set_bytes_max(static_cast<uint64_t>(bytes_max_));
  request.mutable_settings()->set_ttl_seconds(ttl_seconds);
  return Call([&](grpc::ClientContext* context) {
    store::v1::ConfigureQueueResponse response;
    return rpc::FromGrpc(Stub(store_)->ConfigureQueue(context, request, &response));
  });
}

absl::Status ClientQueues::DeleteOne(const std::string& queue) {
  store::v1::DeleteQueueRequest request;
  request.set_queue(queue);
  const absl::Status status = Call([&](grpc::ClientContext* context) {
    store::v1::DeleteQueueResponse response;
    return rpc::FromGrpc(Stub(store_)->DeleteQueue(context, request, &response));
  });
  if (absl::IsNotFound(status)) return absl::OkStatus();
  if (status.ok()) spdlog::info("queue of a removed identity deleted queue={}", Printable(queue));
  return status;
}

absl::Status ClientQueues::DeleteAll(const std::string& prefix) {
  store::v1::ListQueuesRequest request;
  request.set_prefix(prefix);
  store::v1::ListQueuesResponse response;
  // Those of a page are gone when the next one is asked for: it is the first one again.
  do {
    RETURN_IF_ERROR(Call([&](grpc::ClientContext* context) {
      return rpc::FromGrpc(Stub(store_)->ListQueues(context, request, &response));
    }));
    for (const store::v1::Queue& queue : response.queues()) RETURN_IF_ERROR(DeleteOne(queue.name()));
  } while (!response.next_page_token().empty());
  return absl::OkStatus();
}

}  // namespace holdfast::router
