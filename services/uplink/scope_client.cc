#include "services/uplink/scope_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

namespace holdfast::uplink {
namespace {

// Besides the first attempt.
constexpr int kRetriesMax = 2;
constexpr absl::Duration kRetryWaitMax = absl::Seconds(10);
// A hub that asks for more patience than this gets it by the next snapshot.
constexpr absl::Duration kRetryAfterMax = absl::Minutes(1);

bool IsWorthRetry(int code) {
  return code == 408 || code == 429 || code >= 500;
}

}  // namespace

absl::Status ScopeError(const ScopeCall& call, int code) {
  const std::string path = call.path.substr(0, call.path.find('?'));
  const std::string text = fmt::format("the hub answered {} to {}", code, path);
  if (code == 401 || code == 403) return absl::PermissionDeniedError(text);
  if (code == 404 || code == 405) return absl::NotFoundError(text);
  return IsWorthRetry(code) ? absl::UnavailableError(text) : absl::FailedPreconditionError(text);
}

ScopeClient::ScopeClient(Options options) : call_backoff_(options.call_backoff), rest_(std::move(options.rest)) {}

void ScopeClient::SetAuthorization(const std::string& authorization) {
  absl::MutexLock lock(&mutex_);
  authorization_ = authorization;
}

void ScopeClient::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  rest_.Cancel();
}

void ScopeClient::Allow() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = false;
  rest_.Allow();
}

absl::StatusOr<RestClient::Response> ScopeClient::Call(const ScopeCall& call) {
  for (int attempt = 0;; ++attempt) {
    std::string authorization;
    {
      absl::MutexLock lock(&mutex_);
      authorization = authorization_;
    }
    auto response = rest_.Call({call.post, call.path, call.body, authorization});
    const bool again = response.ok()
                           ? IsWorthRetry(response->code)
                           : absl::IsUnavailable(response.status()) || absl::IsDeadlineExceeded(response.status());
    if (!again || attempt == kRetriesMax) return response;
    if (!Sleep(RetryWait(response, attempt))) return absl::CancelledError("the link to the hub went down");
  }
}

absl::Duration ScopeClient::RetryWait(const absl::StatusOr<RestClient::Response>& response, int attempt) const {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  const absl::Duration limit = std::min(call_backoff_ * (1 << attempt), kRetryWaitMax);
  const absl::Duration wait = limit * std::uniform_real_distribution<double>(0.5, 1)(random);
  if (!response.ok() || !response->retry_after) return wait;
  return std::max(wait, std::min(*response->retry_after, kRetryAfterMax));
}

bool ScopeClient::Sleep(absl::Duration d) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&cancelled_), d);
}

}  // namespace holdfast::uplink
