#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/router/v1/router.pb.h"
#include "services/router/greeter.h"
#include "services/router/listener.h"
#include "services/router/worker.h"

namespace holdfast::router {

// The MQTT server: listeners, threads, and what they share. Thread-safe.
class Router {
 public:
  // What it borrows; all must outlive it.
  struct Parts {
    rpc::Channels& auth;
    rpc::Channels& store;
    Metrics& metrics;
    const Clock& clock;
    // Of this process's socket.
    std::string instance = "0";
    // Where messages about reported properties go.
    TwinRequests::RouteTwinChange route_twin_change = [](const message::v1::Envelope&) {
      return std::vector<Endpoint>();
    };
  };

  // Binds the ports and reads the certificate files. Errors are one line for whoever starts the process.
  static absl::StatusOr<std::unique_ptr<Router>> Create(const RouterOptions& options, Parts parts);
  ~Router();

  // Serves as soon as the store has told what is kept of sessions, and MQTT over TLS when there is a certificate, too.
  // `on_ready` is called once, on any thread, when all configured listeners are up.
  void Start(std::function<void()> on_ready);
  // Stops accepting, finishes what is being committed within the grace of the options, closes all. Idempotent.
  void Stop();

  // Sessions in order of client id, from behind `after` on, at most `limit`; *more = there are others.
  std::vector<v1::Session> ListSessions(const std::string& after, size_t limit, bool* more);
  // NOT_FOUND.
  absl::Status CloseSession(const std::string& client_id);
  v1::GetRouterStatusResponse Status() const;
  // The client has a session, here (a kept one counts) or at another router.
  bool Knows(const std::string& client_id);
  TwinStore& twins() { return twins_.store(); }

  // 0 = off.
  uint16_t mqtt_port() const { return mqtt_ == nullptr ? 0 : mqtt_->port(); }
  uint16_t mqtts_port() const { return mqtts_ == nullptr ? 0 : mqtts_->port(); }

 private:
  Router(const RouterOptions& options, Parts parts);
  IoThread* NextThread();
  void Restore(std::vector<KeptSession> sessions);
  void StartListener(Listener* listener, bool tls);
  void ReachSession(const std::string& client_id, std::function<void(Session*)> use);

  const RouterOptions options_;
  Parts parts_;
  RouterMetrics metrics_;
  const Routes routes_;
  ConnectionLimit limit_;
  std::unique_ptr<HomeThreads> homes_;
  std::unique_ptr<AuthClient> auth_;
  IdentityChanges identities_;
  std::unique_ptr<SessionKeeper> keeper_;
  Presence presence_;
  LifecycleEvents events_;
  MethodCalls methods_;
  TwinRequests twins_;
  std::unique_ptr<Greeter> greeter_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Listener> mqtt_;
  std::unique_ptr<Listener> mqtts_;
  std::unique_ptr<ServerCertificate> certificate_;
  std::unique_ptr<IdentityWatch> watch_;
  std::atomic<size_t> next_thread_ = 0;
  bool stopped_ = false;
};

}  // namespace holdfast::router
