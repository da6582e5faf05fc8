#pragma once

#include <span>
#include <string>

#include "absl/time/time.h"
#include "lib/mqtt/client.h"
#include "services/uplink/window.h"

namespace holdfast::uplink {

// One identity's connection to the hub, from the attempt to its end. Watches that what is in flight is acknowledged.
// Not thread-safe: everything on the io_context's thread.
class HubConnection final : private mqtt::Client::Handler {
 public:
  struct Options {
    mqtt::Client::Options client;
    absl::Duration ack_timeout;
    absl::Duration ping_timeout;
    absl::Duration stall_timeout;
  };

  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnOpen(LaneId lane, bool session_present) = 0;
    virtual void OnPubacks(LaneId lane, std::span<const uint16_t> packet_ids) = 0;
    virtual void OnPublish(LaneId lane, const mqtt::Publish& publish) = 0;
    virtual void OnSuback(LaneId lane, const mqtt::Suback& suback) = 0;
    virtual void OnWritten(LaneId lane) = 0;
    // `was_open`: the login had been accepted. The connection may be deleted in it.
    virtual void OnClosed(LaneId lane, const mqtt::Closed& closed, bool was_open) = 0;
  };

  HubConnection(boost::asio::io_context& io, Options options, LaneId lane, Owner* owner);

  bool open() const { return open_; }
  mqtt::Client* client() { return &client_; }
  std::string* out() { return client_.out(); }
  void Flush() { client_.Flush(); }
  void Close() { client_.Close(); }

  // Messages are in flight, or not; `progress`: some were acknowledged. Call it at least a few times a second. False:
  // the hub does not acknowledge any more, the connection is worth nothing.
  bool Watch(bool owed, bool progress, absl::Duration now);

 private:
  void OnConnected(bool session_present, const std::string& address) override;
  void OnPubacks(std::span<const uint16_t> packet_ids) override;
  void OnPublish(const mqtt::Publish& publish) override { owner_->OnPublish(lane_, publish); }
  void OnSuback(const mqtt::Suback& suback) override { owner_->OnSuback(lane_, suback); }
  void OnPingresp() override { pong_ = true; }
  void OnWritten() override;
  void OnClosed(const mqtt::Closed& closed) override;

  const Options options_;
  const LaneId lane_;
  Owner* const owner_;
  bool open_ = false;
  bool owed_ = false;
  absl::Duration owed_since_;
  bool pinged_ = false;
  absl::Duration pinged_at_;
  bool pong_ = false;
  mqtt::Client client_;
};

}  // namespace holdfast::uplink
