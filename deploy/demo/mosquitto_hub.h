#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cli/child_process.h"
#include "deploy/demo/hub.h"
#include "deploy/demo/ledger.h"
#include "deploy/demo/relay.h"
#include "lib/mqtt/client.h"

namespace holdfast::demo {

// A mosquitto that keeps nothing on disk, with limits off.
class Broker {
 public:
  // Its files go to `dir`.
  Broker(std::string dir, uint16_t port) : dir_(std::move(dir)), port_(port) {}

  uint16_t port() const { return port_; }
  // Returns once it accepts connections. Error: not installed, or its last words.
  absl::Status Start();
  // SIGKILL; all that it held is gone.
  void Kill() { process_.reset(); }

 private:
  const std::string dir_;
  const uint16_t port_;
  std::unique_ptr<cli::ChildProcess> process_;
};

// The application in the cloud: subscribed to everything at the hub, writes into the ledger what arrives. All on the
// thread that runs `io`, except subscribed().
class Subscriber final : public mqtt::Client::Handler {
 public:
  Subscriber(boost::asio::io_context& io, uint16_t port, Ledger* ledger) : io_(io), port_(port), ledger_(ledger) {}

  // Connects (again).
  void Start();
  void Stop();
  bool subscribed() const { return subscribed_; }

 private:
  void OnConnected(bool session_present, const std::string& address) override;
  void OnSuback(const mqtt::Suback& suback) override;
  void OnPublish(const mqtt::Publish& publish) override;
  void OnClosed(const mqtt::Closed& closed) override { subscribed_ = false; }

  boost::asio::io_context& io_;
  const uint16_t port_;
  Ledger* const ledger_;
  std::unique_ptr<mqtt::Client> client_;
  std::atomic<bool> subscribed_ = false;
};

// Any MQTT broker as the hub, here mosquitto. It is lost by SIGKILL.
class MosquittoHub final : public Hub {
 public:
  // `on_io` runs a function on the thread of `io` and waits for it.
  MosquittoHub(boost::asio::io_context& io, std::function<void(const std::function<void()>&)> on_io, std::string dir,
               Ledger* ledger);
  ~MosquittoHub() override;

  std::string Name() const override { return "mosquitto"; }
  absl::Status Start(const Waiter& wait) override;
  absl::Status Lose(const Waiter& wait) override;
  std::string Upstream() const override;

 private:
  const std::function<void(const std::function<void()>&)> on_io_;
  Ledger* const ledger_;
  Broker broker_;
  std::unique_ptr<Relay> relay_;
  std::unique_ptr<Subscriber> subscriber_;
};

}  // namespace holdfast::demo
