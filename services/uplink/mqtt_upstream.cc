#include "services/uplink/mqtt_upstream.h"

#include <utility>

#include "lib/base/log.h"

namespace holdfast::uplink {

bool MqttUpstream::OnLinkUp(mqtt::Client* client) {
  client_ = client;
  suspect_ = false;
  if (const uint32_t again = host_->window().in_flight(); again > 0) {
    spdlog::info("sending again what was in flight messages={}", again);
    host_->window().Rewind(kOnlyLane);
  }
  Pump();
  return true;
}

void MqttUpstream::OnLinkDown() {
  client_ = nullptr;
}

size_t MqttUpstream::OnPubacks(std::span<const uint16_t> packet_ids) {
  return host_->window().OnPubacks(kOnlyLane, packet_ids);
}

// Everything that may go out now, in one write.
void MqttUpstream::Pump() {
  if (!client_ || suspect_ || stopping_) return;
  Window& window = host_->window();
  Window::DeadLetters dead;
  woken_.clear();
  const size_t gathered = client_->out()->size();
  if (gathered < kOutBytesMax) window.Admit(&woken_, &dead, kOutBytesMax - gathered);
  const Window::Filled filled = window.Fill(kOnlyLane, count_max_, kOutBytesMax, client_->out(), &dead);
  if (!dead.empty()) host_->SetAside(std::move(dead));
  if (filled.packets == 0) return;
  host_->Sent(filled);
  client_->Flush();
}

}  // namespace holdfast::uplink
