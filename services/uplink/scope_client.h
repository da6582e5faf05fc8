#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/uplink/rest_client.h"
#include "services/uplink/scope_walk.h"

namespace holdfast::uplink {

// The hub's device scope API with patience: 408, 429, 5xx, time-outs and broken connections are tried again twice,
// after Retry-After if the hub says so (IoT Hub contract: device scope). One call at a time; the rest is thread-safe.
class ScopeClient {
 public:
  struct Options {
    RestClient::Options rest;
    // Before a retry; doubled, jittered.
    absl::Duration call_backoff = absl::Seconds(1);
  };

  explicit ScopeClient(Options options);

  // Header of the calls from now on; empty: a certificate.
  void SetAuthorization(const std::string& authorization);

  // Any answer of the hub is OK. UNAVAILABLE, DEADLINE_EXCEEDED: none; CANCELLED: by Cancel.
  absl::StatusOr<RestClient::Response> Call(const ScopeCall& call);

  // Ends the call under way, and those until Allow.
  void Cancel();
  void Allow();

 private:
  absl::Duration RetryWait(const absl::StatusOr<RestClient::Response>& response, int attempt) const;
  // False if it was broken off.
  bool Sleep(absl::Duration d);

  const absl::Duration call_backoff_;
  RestClient rest_;
  absl::Mutex mutex_;
  std::string authorization_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

// What an answer other than 200 means.
absl::Status ScopeError(const ScopeCall& call, int code);

}  // namespace holdfast::uplink
