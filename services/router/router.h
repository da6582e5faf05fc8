#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/router/v1/router.pb.h"
#include "lib/kv/key_watch.h"
#include "services/router/client_queues.h"
#include "services/router/greeter.h"
#include "services/router/https_front.h"
#include "services/router/listener.h"
#include "services/router/method_endpoint.h"
#include "services/router/scope_requests.h"
#include "services/router/settings.h"
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
    // To the sockets of other routers; null: there are none.
    rpc::Channels* routers = nullptr;
    // Of this process's socket.
    std::string instance = "0";
    // Of Holdfast, for the gateway's report to its hub.
    std::string version = {};
  };

  // Binds the ports and reads the certificate files. Errors are one line for whoever starts the process.
  static absl::StatusOr<std::unique_ptr<Router>> Create(const RouterOptions& options, Parts parts);
  ~Router();

  // Serves as soon as the store has told what is kept of sessions, and MQTT over TLS when there is a certificate, too.
  // `on_ready` is called once, on any thread, when all configured listeners are up.
  void Start(std::function<void()> on_ready);
  // Stops accepting, finishes what is being committed within the grace of the options, closes all. Idempotent.
  void Stop();

  // The routes for messages that come from now on; what is stored stays where it is. `gateway_device_id`: whose modules
  // they name; empty = that of the options. FAILED_PRECONDITION if it would be needed and is not known. At any time
  // before Stop().
  // `ttl_seconds`: of what lies in clients' queues and whose route says nothing; 0 = the store's own, -1 = for ever.
  absl::Status SetRoutes(std::shared_ptr<const routes::RouteTable> table, const std::string& gateway_device_id = "",
                         int32_t ttl_seconds = 0);

  // Sessions in order of client id, from behind `after` on, at most `limit`; *more = there are others.
  std::vector<v1::Session> ListSessions(const std::string& after, size_t limit, bool* more);
  // NOT_FOUND.
  absl::Status CloseSession(const std::string& client_id);
  v1::GetRouterStatusResponse Status() const;
  MethodCalls& methods() { return methods_; }
  // The client has a session, here (a kept one counts) or at another router.
  bool Knows(const std::string& client_id);
  TwinStore& twins() { return twins_.store(); }

  // 0 = off.
  uint16_t mqtt_port() const { return mqtt_ == nullptr ? 0 : mqtt_->port(); }
  uint16_t mqtts_port() const { return mqtts_ == nullptr ? 0 : mqtts_->port(); }
  uint16_t https_port() const { return https_ == nullptr ? 0 : https_->port(); }

 private:
  Router(const RouterOptions& options, Parts parts);
  IoThread* NextThread();
  void Restore(std::vector<KeptSession> sessions);
  // What other routers wrote of their clients' sessions.
  void LearnSessions(const kv::KeyWatch::Update& update);
  void StartServing(std::vector<SessionKeeper::TakeSnapshot> snapshots, std::function<void()> on_ready);
  std::vector<Copy> RouteTwinChange(const message::v1::Envelope& change) const;
  absl::Status Apply(const Settings::InForce& in_force);
  void DescribeSettings(v1::Settings* out) const;
  void Drop(const IdentityChanges::Drop& drop);
  void StartListener(Listener* listener, bool tls);
  void StartHttps();
  // A channel to the router that holds the client's session, if it is another one and the client listens to methods.
  std::shared_ptr<grpc::Channel> FindElsewhere(const std::string& client_id);
  void ReachSession(const std::string& client_id, std::function<void(Session*)> use);

  const RouterOptions options_;
  Parts parts_;
  RouterMetrics metrics_;
  ClientQueues client_queues_;
  ConnectionLimit limit_;
  std::unique_ptr<HomeThreads> homes_;
  std::unique_ptr<AuthClient> auth_;
  IdentityChanges identities_;
  std::unique_ptr<SessionKeeper> keeper_;
  Settings settings_;
  Presence presence_;
  LifecycleEvents events_;
  MethodCalls methods_;
  TwinRequests twins_;
  std::unique_ptr<Greeter> greeter_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Listener> mqtt_;
  std::unique_ptr<Listener> mqtts_;
  std::unique_ptr<Listener> https_;
  std::unique_ptr<MethodEndpoint> method_endpoint_;
  std::unique_ptr<ScopeRequests> scope_requests_;
  HttpsFront http_;
  std::unique_ptr<ServerCertificate> certificate_;
  std::unique_ptr<IdentityWatch> watch_;
  std::unique_ptr<kv::KeyWatch> session_watch_;
  std::atomic<size_t> next_thread_ = 0;
  bool stopped_ = false;
  mutable absl::Mutex table_mutex_;
  std::shared_ptr<const routes::RouteTable> table_ ABSL_GUARDED_BY(table_mutex_);
  std::shared_ptr<const Routes> routes_ ABSL_GUARDED_BY(table_mutex_);
};

}  // namespace holdfast::router
