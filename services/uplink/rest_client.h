#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::uplink {

// The hub's HTTPS endpoint. One call at a time over a connection that is kept; one thread uses it, Cancel() and Allow()
// are for any.
class RestClient {
 public:
  struct Options {
    // "https://hub.example:443"; http:// on this machine only, for tests.
    std::string url;
    // PEM; empty: the system's certificates.
    std::string ca_file;
    std::string cert_file;
    std::string key_file;
    // Empty: as the system resolves.
    std::vector<std::string> dns_servers;
    absl::Duration resolve_timeout = absl::Seconds(5);
    absl::Duration connect_timeout = absl::Seconds(10);
    // Of a whole call.
    absl::Duration call_timeout = absl::Seconds(60);
    size_t body_bytes_max = 4 << 20;
  };
  struct Request {
    bool post = false;
    std::string path;
    std::string body;           // JSON
    std::string authorization;  // empty: none
  };
  struct Response {
    int code = 0;
    std::string body;
    std::optional<absl::Duration> retry_after;
  };

  // INVALID_ARGUMENT for a URL that is none, or holds more than scheme, host and port.
  static absl::Status CheckUrl(const std::string& url);

  explicit RestClient(Options options);
  ~RestClient();

  // Any HTTP status is an answer. UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED (body_bytes_max) if
  // there was none.
  absl::StatusOr<Response> Call(const Request& request);

  // Ends the call under way, and every one until Allow(), with CANCELLED.
  void Cancel() { cancelled_ = true; }
  void Allow() { cancelled_ = false; }
  bool cancelled() const { return cancelled_; }

 private:
  struct Curl;
  absl::Status Resolve();

  const Options options_;
  const std::unique_ptr<Curl> curl_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace holdfast::uplink
