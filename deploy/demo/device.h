#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <random>
#include <string>

#include "deploy/demo/ledger.h"
#include "lib/mqtt/client.h"

namespace holdfast::demo {

// A simulated device: publishes numbered messages at QoS 1, at a steady rate and with a window, over TLS with a SAS
// token. It keeps what is not acknowledged, and after each reconnect sends it again with DUP and its packet identifier.
// All on the thread that runs `io`.
class Device final : public mqtt::Client::Handler {
 public:
  struct Options {
    size_t index = 0;
    std::string id;
    std::string key;
    std::string hub_hostname;
    std::string host;
    uint16_t port = 0;
    std::string ca_file;
    int messages_per_second = 100;
  };

  // `io` and `ledger` must outlive it.
  Device(boost::asio::io_context& io, Options options, Ledger* ledger);

  void Start();
  // No new messages; what is not acknowledged is still sent until it is.
  void Finish() { finishing_ = true; }
  bool connected() const { return connected_; }

 private:
  void OnConnected(bool session_present, const std::string& address) override;
  void OnPubacks(std::span<const uint16_t> packet_ids) override;
  void OnClosed(const mqtt::Closed& closed) override;

  void Connect();
  void ScheduleConnect();
  void ScheduleTick();
  void Tick();
  void Publish(uint64_t sequence, bool dup);
  void TakeAcknowledged();

  boost::asio::io_context& io_;
  const Options options_;
  Ledger* const ledger_;
  const std::string topic_;
  std::unique_ptr<mqtt::Client> client_;
  boost::asio::steady_timer tick_;
  boost::asio::steady_timer retry_;
  std::mt19937 random_{std::random_device{}()};
  bool connected_ = false;
  bool finishing_ = false;
  double due_ = 0;              // Messages that the rate allows now.
  uint64_t next_sequence_ = 0;  // The next new message.
  uint64_t first_unacknowledged_ = 0;
  std::deque<bool> acknowledged_;  // Of first_unacknowledged_ and those after it.
};

}  // namespace holdfast::demo
