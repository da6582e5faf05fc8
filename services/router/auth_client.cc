#include "services/router/auth_client.h"

#include <memory>

#include "lib/base/log.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kWatchRetryMin = absl::Milliseconds(50);
constexpr absl::Duration kWatchRetryMax = absl::Seconds(1);

struct AuthenticateCall {
  grpc::ClientContext context;
  auth::v1::AuthenticateRequest request;
  auth::v1::AuthenticateResponse response;
  std::unique_ptr<auth::v1::Authentication::Stub> stub;
};

}  // namespace

void AuthClient::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  mutex_.Await(absl::Condition(
      +[](absl::flat_hash_set<grpc::ClientContext*>* calls) { return calls->empty(); }, &calls_));
}

void AuthClient::Authenticate(auth::v1::AuthenticateRequest request, Answer answer) {
  auto call = std::make_shared<AuthenticateCall>();
  call->request = std::move(request);
  call->stub = auth::v1::Authentication::NewStub(auth_->Pick());
  rpc::SetDeadline(&call->context, timeout_);
  bool stopped = false;
  {
    absl::MutexLock lock(&mutex_);
    stopped = stopped_;
    if (!stopped) calls_.insert(&call->context);
  }
  if (stopped) return answer(absl::UnavailableError("the gateway stops"));
  call->stub->async()->Authenticate(&call->context, &call->request, &call->response,
                                    [this, call, answer = std::move(answer)](const grpc::Status& status) {
                                      if (status.ok()) {
                                        answer(std::move(call->response));
                                      } else {
                                        answer(rpc::FromGrpc(status));
                                      }
                                      absl::MutexLock lock(&mutex_);
                                      calls_.erase(&call->context);
                                    });
}

IdentityChanges::Drop IdentityChanges::Make(const Identity& identity, std::string_view reason) {
  return {.identity = identity, .with_modules = identity.module_id.empty(), .reason = reason};
}

std::vector<IdentityChanges::Drop> IdentityChanges::Take(const auth::v1::WatchIdentitiesResponse& response,
                                                         bool first) {
  std::vector<Drop> drops;
  StringMap<Known> before;
  if (first) before.swap(known_);
  for (const auth::v1::Identity& changed : response.changed()) {
    const Known now{.identity = {changed.device_id(), changed.module_id()},
                    .version = changed.version(),
                    .enabled = changed.enabled()};
    const std::string id = now.identity.ClientId();
    StringMap<Known>& old_ones = first ? before : known_;
    const auto old = old_ones.find(id);
    if (!now.enabled) {
      drops.push_back(Make(now.identity, "identity disabled"));
    } else if (old != old_ones.end() && old->second.version != now.version) {
      drops.push_back(Make(now.identity, "identity changed"));
    }
    if (first && old != old_ones.end()) before.erase(old);
    known_[id] = now;
  }
  // What is left of the old list is not in the new one.
  for (const auto& [id, known] : before) drops.push_back(Make(known.identity, "identity removed"));
  for (const auth::v1::Identity& removed : response.removed()) {
    const Identity identity{removed.device_id(), removed.module_id()};
    known_.erase(identity.ClientId());
    drops.push_back(Make(identity, "identity removed"));
  }
  return drops;
}

IdentityWatch::IdentityWatch(rpc::Channels* auth, OnDrop on_drop)
    : auth_(auth), on_drop_(std::move(on_drop)), backoff_(kWatchRetryMin, kWatchRetryMax) {
  thread_ = std::thread([this] { Loop(); });
}

IdentityWatch::~IdentityWatch() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  thread_.join();
}

void IdentityWatch::Loop() {
  while (true) {
    FollowOnce();
    const absl::Duration wait = backoff_.Next();
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), wait)) return;
  }
}

void IdentityWatch::FollowOnce() {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    call_ = &context;
  }
  auto stub = auth::v1::Identities::NewStub(auth_->Pick());
  auto reader = stub->WatchIdentities(&context, {});
  auth::v1::WatchIdentitiesResponse response;
  bool first = true;
  while (reader->Read(&response)) {
    backoff_.Reset();
    for (const IdentityChanges::Drop& drop : changes_.Take(response, first)) on_drop_(drop);
    first = false;
  }
  const grpc::Status status = reader->Finish();
  absl::MutexLock lock(&mutex_);
  call_ = nullptr;
  if (!stopped_) spdlog::debug("watch of identities ended reason=\"{}\"", status.error_message());
}

}  // namespace holdfast::router
