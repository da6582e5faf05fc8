#include "services/uplink/hub_connection.h"

#include <utility>

namespace holdfast::uplink {

HubConnection::HubConnection(boost::asio::io_context& io, Options options, LaneId lane, Owner* owner)
    : options_(std::move(options)),
      lane_(lane),
      owner_(owner),
      client_(io, options_.client, static_cast<mqtt::Client::Handler*>(this)) {
  client_.Start();
}

bool HubConnection::Watch(bool owed, bool progress, absl::Duration now) {
  if (!owed || progress || !owed_) {
    owed_ = owed;
    owed_since_ = now;
    pinged_ = false;
    return true;
  }
  if (!pinged_) {
    if (now - owed_since_ < options_.ack_timeout) return true;
    pinged_ = true;
    pinged_at_ = now;
    pong_ = false;
    client_.Ping();
    return true;
  }
  if (!pong_) return now - pinged_at_ < options_.ping_timeout;
  return now - owed_since_ < options_.stall_timeout;
}

void HubConnection::OnConnected(bool session_present, const std::string&) {
  open_ = true;
  owner_->OnOpen(lane_, session_present);
}

void HubConnection::OnPubacks(std::span<const uint16_t> packet_ids) {
  owner_->OnPubacks(lane_, packet_ids);
}

void HubConnection::OnWritten() {
  owner_->OnWritten(lane_);
}

void HubConnection::OnClosed(const mqtt::Closed& closed) {
  owner_->OnClosed(lane_, closed, std::exchange(open_, false));
}

}  // namespace holdfast::uplink
