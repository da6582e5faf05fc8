#include "services/uplink/token_source.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::auth::v1;

constexpr absl::Duration kCallTimeout = absl::Seconds(5);
constexpr absl::Duration kBackoffMin = absl::Milliseconds(200);
constexpr absl::Duration kBackoffMax = absl::Seconds(10);
constexpr absl::Duration kRenewDistance = absl::Seconds(5);
// Of a token's life, after which the next one is asked for.
constexpr double kFreshPart = 0.25;

}  // namespace

TokenSource::TokenSource(rpc::Channels* auth, absl::Duration lifetime, const Clock& clock, Callbacks callbacks)
    : auth_(auth), lifetime_(lifetime), clock_(clock), callbacks_(std::move(callbacks)) {}

TokenSource::~TokenSource() {
  Stop();
}

void TokenSource::Start() {
  thread_ = std::thread([this] { Run(); });
}

void TokenSource::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void TokenSource::RenewNow() {
  absl::MutexLock lock(&mutex_);
  now_ = true;
}

absl::StatusOr<Token> TokenSource::Ask() {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kCallTimeout);
  pb::SignTokenRequest request;
  pb::SignTokenResponse response;
  request.mutable_valid_for()->set_seconds(absl::ToInt64Seconds(lifetime_));
  const absl::Duration asked_at = clock_.SinceBoot();
  RETURN_IF_ERROR(rpc::FromGrpc(pb::Tokens::NewStub(auth_->Pick())->SignToken(&context, request, &response)));
  return Token{.password = std::move(*response.mutable_token()),
               .device_id = response.device_id(),
               .hub_hostname = response.hub_hostname(),
               .made_at = asked_at,
               .lifetime = lifetime_};
}

void TokenSource::Run() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  absl::Status last;
  for (;;) {
    auto token = Ask();
    absl::Duration wait = backoff.Next();
    if (token.ok()) {
      backoff.Reset();
      last = absl::OkStatus();
      wait = lifetime_ * kFreshPart;
      callbacks_.on_token(*std::move(token));
    } else if (token.status().code() != last.code() || token.status().message() != last.message()) {
      last = token.status();
      spdlog::warn("auth gives no token for the hub; trying again reason=\"{}\"", Text(last));
      callbacks_.on_problem(last);
    }
    const absl::Time asked = absl::Now();
    absl::MutexLock lock(&mutex_);
    const auto woken = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || now_; };
    mutex_.AwaitWithTimeout(absl::Condition(&woken), wait);
    if (!stopping_ && now_) {
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), asked + kRenewDistance - absl::Now());
      now_ = false;
    }
    if (stopping_) return;
  }
}

}  // namespace holdfast::uplink
