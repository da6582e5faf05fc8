// The other ends of a router under test: an auth that does as it is told, and a client that speaks bytes.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"
#include "lib/pki/certificate.h"

namespace holdfast::router {

// Grants to whoever has the password "good", or none and a certificate that it knows. Thread-safe.
class FakeAuth final : public auth::v1::Authentication::Service {
 public:
  grpc::Status Authenticate(grpc::ServerContext* context, const auth::v1::AuthenticateRequest* request,
                            auth::v1::AuthenticateResponse* response) override;
  void SetValidFor(absl::Duration valid_for);
  void SetNotReady(bool not_ready);
  // The identity_version of grants; 0 = none.
  void SetVersion(uint64_t version);
  // Accepts this leaf, DER, where there is no password.
  void AddCertificate(std::string der);
  // Called with each request before it is judged; may call this object. nullptr = no more.
  void OnAsk(std::function<void(const auth::v1::AuthenticateRequest&)> on_ask);
  // The request that is being judged is granted once more, those after it are denied.
  void DenyFromNextOn(const std::string& device);
  // Requests of devices "unknown…" are not answered while true.
  void Hold(bool hold);
  size_t held();

  size_t asked(const std::string& device);
  // The latest request.
  auth::v1::AuthenticateRequest request();

 private:
  bool Knows(const auth::v1::AuthenticateRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  absl::Duration valid_for_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteDuration();
  bool not_ready_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> certificates_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const auth::v1::AuthenticateRequest&)> on_ask_ ABSL_GUARDED_BY(mutex_);
  // Asks after this one are denied.
  std::map<std::string, size_t> deny_after_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, size_t> asked_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0;
  auth::v1::AuthenticateRequest request_ ABSL_GUARDED_BY(mutex_);
};

// Issues server certificates from a CA of its own. Thread-safe.
class FakeCertificates final : public auth::v1::Certificates::Service {
 public:
  FakeCertificates();
  grpc::Status IssueServerCertificate(grpc::ServerContext* context,
                                      const auth::v1::IssueServerCertificateRequest* request,
                                      auth::v1::IssueServerCertificateResponse* response) override;
  void SetRenewAfter(absl::Duration renew_after);

 private:
  const pki::PrivateKey key_;
  const pki::Certificate ca_;
  absl::Mutex mutex_;
  absl::Duration renew_after_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
};

// Streams what it is given. Thread-safe.
class FakeIdentities final : public auth::v1::Identities::Service {
 public:
  grpc::Status WatchIdentities(grpc::ServerContext* context, const auth::v1::WatchIdentitiesRequest* request,
                               grpc::ServerWriter<auth::v1::WatchIdentitiesResponse>* writer) override;
  void Push(auth::v1::WatchIdentitiesResponse response);
  void Stop();

 private:
  absl::Mutex mutex_;
  std::deque<auth::v1::WatchIdentitiesResponse> responses_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// A TCP client of the router that sends any bytes and reads packets. Not thread-safe.
class Peer {
 public:
  explicit Peer(uint16_t port);

  void Send(std::string_view bytes);
  // The next whole packet; "" if the connection ended or nothing came within ten seconds.
  std::string Read();
  // True if the router has closed, or does within ten seconds; packets before that are dropped.
  bool Closed();
  // Nothing arrives for this long.
  bool Silent(absl::Duration time);
  void Close() { fd_ = UniqueFd(); }

  // CONNECT, and its CONNACK.
  std::optional<mqtt::Connack> Connect(const mqtt::Connect& connect);

 private:
  bool Fill(absl::Duration timeout);
  UniqueFd fd_;
  std::string input_;
};

// Packets to send.
mqtt::Connect DeviceConnect(std::string_view device, bool clean_session = false);
std::string Bytes(const mqtt::Connect& connect);
std::string Telemetry(std::string_view device, uint16_t packet_id, std::string_view body, bool dup = false);
std::string Puback(uint16_t packet_id);

// Polls until `condition` holds, ten seconds at most.
bool Eventually(const std::function<bool()>& condition);

}  // namespace holdfast::router
