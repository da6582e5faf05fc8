#include "services/uplink/link_presence.h"

#include <utility>

#include "absl/time/clock.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/presence/keys.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

// The lease is kept so often in its life.
constexpr int kKeepsPerLease = 3;
constexpr absl::Duration kBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);
constexpr absl::Duration kRevokeTimeout = absl::Milliseconds(500);

}  // namespace

void LinkPresence::Start() {
  thread_ = std::thread([this] { Run(); });
}

void LinkPresence::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  thread_.join();
  Revoke();
}

void LinkPresence::Set(presence::v1::LinkPresence presence) {
  absl::MutexLock lock(&mutex_);
  value_ = presence.SerializeAsString();
  changed_ = true;
}

void LinkPresence::Run() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  absl::Status last;
  for (;;) {
    const absl::Status status = Write();
    if (!status.ok() && status.code() != last.code()) {
      spdlog::warn("the link's presence is not written; trying again reason=\"{}\"", Text(status));
    }
    last = status;
    if (status.ok()) backoff.Reset();
    const absl::Duration wait = status.ok() ? options_.lease / kKeepsPerLease : backoff.Next();
    absl::MutexLock lock(&mutex_);
    const bool retry = !status.ok();
    const auto woken = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || (changed_ && !retry); };
    mutex_.AwaitWithTimeout(absl::Condition(&woken), wait);
    if (stopping_) return;
  }
}

absl::Status LinkPresence::Write() {
  std::string value;
  {
    absl::MutexLock lock(&mutex_);
    value = value_;
    changed_ = false;
  }
  if (lease_id_ == 0) {
    RETURN_IF_ERROR(Grant());
  } else if (absl::Now() - kept_at_ >= options_.lease / kKeepsPerLease) {
    RETURN_IF_ERROR(Keep());
  }
  if (value.empty() || value == written_) return absl::OkStatus();
  RETURN_IF_ERROR(Put(value));
  written_ = std::move(value);
  return absl::OkStatus();
}

absl::Status LinkPresence::Grant() {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::GrantLeaseRequest request;
  pb::GrantLeaseResponse response;
  request.mutable_ttl()->set_seconds(absl::ToInt64Seconds(options_.lease));
  RETURN_IF_ERROR(rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->GrantLease(&context, request, &response)));
  lease_id_ = response.lease_id();
  kept_at_ = absl::Now();
  written_.clear();
  return absl::OkStatus();
}

absl::Status LinkPresence::Keep() {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::KeepLeaseRequest request;
  pb::KeepLeaseResponse response;
  request.set_lease_id(lease_id_);
  const absl::Status status =
      rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->KeepLease(&context, request, &response));
  if (absl::IsNotFound(status)) return Grant();  // it ended, and the key with it
  if (status.ok()) kept_at_ = absl::Now();
  return status;
}

absl::Status LinkPresence::Put(const std::string& value) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::PutRequest request;
  pb::PutResponse response;
  request.set_key(std::string(presence::kLinkKey));
  request.set_value(value);
  request.set_lease_id(lease_id_);
  const absl::Status status = rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->Put(&context, request, &response));
  if (absl::IsNotFound(status)) lease_id_ = 0;
  return status;
}

void LinkPresence::Revoke() {
  if (lease_id_ == 0) return;
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kRevokeTimeout);
  pb::RevokeLeaseRequest request;
  pb::RevokeLeaseResponse response;
  request.set_lease_id(std::exchange(lease_id_, 0));
  const auto ignored = pb::KeyValue::NewStub(store_->Pick())->RevokeLease(&context, request, &response);
  (void)ignored;  // else it ends by itself
}

}  // namespace holdfast::uplink
