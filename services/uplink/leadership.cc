#include "services/uplink/leadership.h"

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

// The lease is kept so often in its life.
constexpr int kKeepsPerLease = 4;
constexpr absl::Duration kBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);
constexpr absl::Duration kRevokeTimeout = absl::Milliseconds(500);

}  // namespace

Leadership::Leadership(rpc::Channels* store, std::string instance, Options options)
    : store_(store), instance_(std::move(instance)), options_(options) {}

void Leadership::Start(Events events) {
  events_ = std::move(events);
  watch_ = std::make_unique<kv::KeyWatch>(store_, kLeaderKey, [this](const kv::KeyWatch::Update&) {
    absl::MutexLock lock(&mutex_);
    changed_ = true;
  });
  thread_ = std::thread([this] { Run(); });
}

void Leadership::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  thread_.join();
  watch_->Stop();
  Revoke(std::exchange(lease_id_, 0));
}

Leadership::Status Leadership::status() const {
  absl::MutexLock lock(&mutex_);
  return {.leads = revision_ != 0, .leader = leader_};
}

void Leadership::SetFence(pb::Fence* fence) const {
  absl::MutexLock lock(&mutex_);
  fence->set_key(kLeaderKey);
  fence->set_revision(revision_);
}

void Leadership::SetLeader(const std::string& leader) {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(leader_, leader) != leader && leader != instance_) {
    spdlog::info("standing by leader={}", leader);
  }
}

void Leadership::Run() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  bool told = false;
  while (true) {
    const bool led = status().leads;
    {
      absl::MutexLock lock(&mutex_);
      changed_ = false;
    }
    const absl::Status status = led ? Keep() : Acquire();
    if (led && absl::IsNotFound(status)) {
      lease_id_ = 0;
      return events_.on_lost(
          "its lease in the store ended: the process stood still, or the store could not be reached");
    }
    if (!led && status.ok()) events_.on_lead();
    const bool settled = status.ok() || absl::IsFailedPrecondition(status);
    if (!settled && !std::exchange(told, true)) {
      spdlog::warn("can't agree on who leads; trying again reason=\"{}\"", Text(status));
    }
    if (settled) {
      backoff.Reset();
      told = false;
    }
    absl::MutexLock lock(&mutex_);
    const bool stands_by = absl::IsFailedPrecondition(status);
    const auto woken = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || (stands_by && changed_); };
    const absl::Duration wait = !settled    ? backoff.Next()
                                : stands_by ? absl::InfiniteDuration()
                                            : options_.lease / kKeepsPerLease;
    mutex_.AwaitWithTimeout(absl::Condition(&woken), wait);
    if (stopping_) return;
  }
}

absl::Status Leadership::Acquire() {
  pb::PutRequest put;
  put.set_key(kLeaderKey);
  put.set_value(instance_);
  put.set_expected_revision(0);
  {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, options_.call_timeout);
    pb::GetRequest request;
    request.set_key(kLeaderKey);
    pb::GetResponse response;
    const absl::Status found = rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->Get(&context, request, &response));
    if (found.ok() && response.entry().value() != instance_) {
      SetLeader(response.entry().value());
      return absl::FailedPreconditionError("another one leads");
    }
    if (found.ok()) put.set_expected_revision(response.entry().revision());
    if (!found.ok() && !absl::IsNotFound(found)) return found;
  }
  uint64_t lease_id = 0;
  RETURN_IF_ERROR(Grant(&lease_id));
  put.set_lease_id(lease_id);
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::PutResponse response;
  const absl::Status status = rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->Put(&context, put, &response));
  if (!status.ok()) {
    // A Put whose fate is unknown may have made the key: it goes with its lease.
    Revoke(lease_id);
    return absl::IsFailedPrecondition(status) ? absl::UnavailableError("somebody was faster") : status;
  }
  lease_id_ = lease_id;
  SetLeader(instance_);
  absl::MutexLock lock(&mutex_);
  revision_ = response.revision();
  spdlog::info("leading instance={} fence={}", instance_, revision_);
  return absl::OkStatus();
}

absl::Status Leadership::Grant(uint64_t* lease_id) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::GrantLeaseRequest request;
  request.mutable_ttl()->set_seconds(absl::ToInt64Seconds(options_.lease));
  pb::GrantLeaseResponse response;
  RETURN_IF_ERROR(rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->GrantLease(&context, request, &response)));
  *lease_id = response.lease_id();
  return absl::OkStatus();
}

absl::Status Leadership::Keep() {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::KeepLeaseRequest request;
  request.set_lease_id(lease_id_);
  pb::KeepLeaseResponse response;
  return rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->KeepLease(&context, request, &response));
}

void Leadership::Revoke(uint64_t lease_id) {
  if (lease_id == 0) return;
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kRevokeTimeout);
  pb::RevokeLeaseRequest request;
  request.set_lease_id(lease_id);
  pb::RevokeLeaseResponse response;
  const auto ignored = pb::KeyValue::NewStub(store_->Pick())->RevokeLease(&context, request, &response);
  (void)ignored;  // else it ends by itself
}

}  // namespace holdfast::uplink
