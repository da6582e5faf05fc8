#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/mqtt/client.h"
#include "services/uplink/connectivity.h"
#include "services/uplink/network_watch.h"

namespace holdfast::uplink {

// The connection to the hub, kept up for as long as the process lives and no operator wants it down: does what
// Connectivity decides, with the MQTT client, the resolver, TCP probes and the kernel's network events. Not
// thread-safe: everything on the io_context's thread.
class Link : private mqtt::Client::Handler {
 public:
  struct Options {
    // Host, port, TLS, login and time-outs. An empty host: there is no upstream, and the link stays offline.
    mqtt::Client::Options client;
    std::vector<std::string> dns_servers;
    absl::Duration resolve_timeout = absl::Seconds(5);
    Connectivity::Options connectivity;
    // Who logs in is not in `client`: the link stays offline until SetLogin.
    bool login_comes_later = false;
  };

  class Handler {
   public:
    virtual ~Handler() = default;
    // Logged in; `client` lives until OnDown returns. False: something must be agreed upon first, and Synced() will be
    // called.
    virtual bool OnUp(mqtt::Client* client) = 0;
    virtual void OnDown() = 0;
    // CONNACK with that code.
    virtual void OnRefused(mqtt::ConnackCode code) {}
    // Returns true if that was news: something in flight was acknowledged.
    virtual bool OnPubacks(std::span<const uint16_t> packet_ids) = 0;
    virtual void OnPublish(const mqtt::Publish& publish) = 0;
    virtual void OnSuback(const mqtt::Suback& suback) {}
    virtual void OnWritten() = 0;
    // Messages are in flight.
    virtual bool Owed() const = 0;
    // State, reason or `stalled` changed.
    virtual void OnState() = 0;
    // A connection was made to an address of the hub's name that was not known as the good one before.
    virtual void OnGoodAddress(const std::string& host_and_address) = 0;
  };

  // All must outlive it.
  Link(boost::asio::io_context& io, Options options, const Clock& clock, Handler* handler);
  ~Link() override;

  void Start();
  // Says DISCONNECT and stays offline. `done` is called when the connection is closed, within about a second.
  void Stop(std::function<void()> done);

  // For the connections made from now on.
  void SetLogin(std::string client_id, std::string user_name, std::string password);
  // Makes a new connection at once, with the login set last. Ignored unless connected.
  void Renew() { Tell({.kind = Connectivity::Event::kRenew}); }

  // What an operator says about it; `reason` stands for kOffline: why it is. Then probes end too.
  void SetMode(LinkMode mode, std::string reason);

  // What had to be agreed upon after OnUp is. Ignored when the link is down.
  void Synced();

  // What OnGoodAddress gave, kept over a restart: used when the name can't be resolved.
  void SetGoodAddress(const std::string& host_and_address);

  const Connectivity& connectivity() const { return connectivity_; }
  // "192.0.2.1:1883" in use, or tried last.
  const std::string& address() const { return address_; }
  // The same without the port; empty before the first login.
  const std::string& numeric_address() const { return reachable_; }
  uint64_t connects() const { return connects_; }

 private:
  class Probe;

  void OnStage(mqtt::Stage stage) override;
  void OnConnected(bool session_present, const std::string& address) override;
  void OnPubacks(std::span<const uint16_t> packet_ids) override;
  void OnPingresp() override;
  void OnPublish(const mqtt::Publish& publish) override;
  void OnSuback(const mqtt::Suback& suback) override;
  void OnWritten() override;
  void OnClosed(const mqtt::Closed& closed) override;

  void Tell(Connectivity::Event event);
  void Do(const Connectivity::Actions& actions);
  void Drop();
  void Connect();
  void Dial(std::vector<std::string> addresses);
  void Resolve(bool for_attempt);
  void OnResolved(bool for_attempt, absl::StatusOr<std::vector<std::string>> addresses);
  void StartProbe();
  void SetTimer();
  void OnTimer();
  absl::Duration Now() const { return clock_.SinceBoot(); }

  boost::asio::io_context& io_;
  const Options options_;
  const Clock& clock_;
  Handler* const handler_;
  const bool numeric_;
  Connectivity connectivity_;

  std::unique_ptr<mqtt::Client> client_;
  struct Login {
    std::string client_id;
    std::string user_name;
    std::string password;
  };
  std::optional<Login> login_;
  bool started_ = false;
  bool up_ = false;
  bool stopping_ = false;
  std::function<void()> stopped_;

  std::vector<std::string> addresses_;
  std::string good_address_;
  // The address of the hub's name that answered last: a probe's, or a login's. The next attempt begins there, since
  // each of the others may cost connect_timeout (a black hole answers nothing).
  std::string reachable_;
  std::string address_;
  uint64_t connects_ = 0;
  uint64_t attempt_ = 0;
  absl::Duration attempt_at_;
  bool resolving_ = false;
  uint32_t probes_made_ = 0;

  struct Timer;
  const std::unique_ptr<Timer> timer_;
  std::deque<std::shared_ptr<Probe>> probes_;
  std::optional<NetworkWatch> network_;
  // The way back for the resolver's threads, closed when the link dies.
  struct Mailbox;
  const std::shared_ptr<Mailbox> mailbox_;
};

}  // namespace holdfast::uplink
