#pragma once

#include "services/uplink/upstream.h"

namespace holdfast::uplink {

// Kind `mqtt`: any MQTT broker; all messages in one order over the link's connection.
class MqttUpstream final : public Upstream {
 public:
  // `count_max`: the window's. `host` must outlive it.
  MqttUpstream(uint32_t count_max, UpstreamHost* host) : count_max_(count_max), host_(host) {}

  bool OnLinkUp(mqtt::Client* client) override;
  void OnLinkDown() override;
  void OnLinkState(LinkState state) override { suspect_ = state == LinkState::kSuspect; }
  size_t OnPubacks(std::span<const uint16_t> packet_ids) override;
  void Pump() override;
  bool Owed() const override { return host_->window().in_flight() > 0; }
  bool idle() const override { return client_ == nullptr || !Owed(); }
  void Stop() override { stopping_ = true; }
  UpstreamReport Report() const override { return {.connections = client_ ? 1u : 0u}; }

 private:
  const uint32_t count_max_;
  UpstreamHost* const host_;
  mqtt::Client* client_ = nullptr;
  // The hub owes an answer: nothing more is sent until it comes.
  bool suspect_ = false;
  bool stopping_ = false;
  std::vector<LaneId> woken_;
};

}  // namespace holdfast::uplink
