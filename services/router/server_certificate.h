#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/rpc/channel.h"

struct ssl_ctx_st;

namespace holdfast::router {

// What a TLS handshake is made with. Immutable.
class TlsContext {
 public:
  // TLS 1.2 and 1.3; a client certificate is asked for and any is let through: auth judges it, by the CONNECT.
  // INVALID_ARGUMENT if the PEMs are not a chain and its key.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(const std::string& chain_pem,
                                                                  const std::string& private_key_pem);
  ~TlsContext();

  ssl_ctx_st* get() const { return context_; }
  absl::Time not_after() const { return not_after_; }

 private:
  TlsContext(ssl_ctx_st* context, absl::Time not_after) : context_(context), not_after_(not_after) {}
  ssl_ctx_st* const context_;
  const absl::Time not_after_;
};

// A new P-256 key and a request for a certificate with it; PEM.
struct KeyAndRequest {
  std::string private_key_pem;
  std::string request_pem;
};
absl::StatusOr<KeyAndRequest> MakeKeyAndRequest();

// Keeps the gateway's server certificate current: a new key each time, issued by auth, renewed in time, tried again for
// as long as it takes. Open sessions keep the context that they began with. Thread-safe.
class ServerCertificate {
 public:
  using OnFirst = std::function<void()>;

  // From files: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION (expired) with a sentence.
  static absl::StatusOr<std::unique_ptr<ServerCertificate>> FromFiles(const std::string& certificate_file,
                                                                      const std::string& private_key_file);
  // From auth, which must outlive it.
  static std::unique_ptr<ServerCertificate> FromAuth(rpc::Channels* auth);
  ~ServerCertificate();

  // Calls `on_first`, once, when there is a certificate: at once or later on a thread of its own.
  void Start(OnFirst on_first);
  void Stop();

  // Null until there is one.
  std::shared_ptr<const TlsContext> context() const;

 private:
  ServerCertificate() = default;
  void RenewLoop(const OnFirst& on_first);
  // Waits; false if stopped.
  bool Sleep(absl::Duration duration);
  absl::StatusOr<absl::Duration> Renew();

  rpc::Channels* auth_ = nullptr;
  std::thread thread_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const TlsContext> context_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace holdfast::router
