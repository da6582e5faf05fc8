#include "deploy/demo/device.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "deploy/demo/sas_token.h"
#include "lib/mqtt/packet_id.h"

namespace holdfast::demo {
namespace {

constexpr uint64_t kWindow = 64;
constexpr std::chrono::milliseconds kTick{20};
constexpr int kRetryMaxMs = 500;
constexpr absl::Duration kTokenLifetime = absl::Hours(1);
constexpr size_t kPayloadBytes = 100;

}  // namespace

Device::Device(boost::asio::io_context& io, Options options, Ledger* ledger)
    : io_(io),
      options_(std::move(options)),
      ledger_(ledger),
      topic_(fmt::format("devices/{}/messages/events/source=demo", options_.id)),
      tick_(io),
      retry_(io) {}

void Device::Start() {
  Connect();
  ScheduleTick();
}

void Device::Connect() {
  mqtt::Client::Options o;
  o.host = options_.host;
  o.port = options_.port;
  o.addresses = {"127.0.0.1"};
  o.tls = true;
  o.tls_files.ca_file = options_.ca_file;
  o.client_id = options_.id;
  o.user_name = fmt::format("{}/{}/?api-version=2021-04-12", options_.hub_hostname, options_.id);
  o.password =
      MakeSasToken(options_.hub_hostname, options_.id, options_.key, absl::ToUnixSeconds(absl::Now() + kTokenLifetime));
  o.clean_session = false;
  o.connack_timeout = std::chrono::seconds(5);
  client_ = std::make_unique<mqtt::Client>(io_, std::move(o), this);
  client_->Start();
}

void Device::OnConnected(bool, const std::string&) {
  connected_ = true;
  for (uint64_t s = first_unacknowledged_; s < next_sequence_; ++s) {
    if (!acknowledged_[s - first_unacknowledged_]) Publish(s, /*dup=*/true);
  }
  client_->Flush();
}

void Device::OnClosed(const mqtt::Closed&) {
  connected_ = false;
  ScheduleConnect();
}

void Device::ScheduleConnect() {
  retry_.expires_after(std::chrono::milliseconds(std::uniform_int_distribution<int>(10, kRetryMaxMs)(random_)));
  retry_.async_wait([this](const boost::system::error_code& error) {
    if (!error) Connect();
  });
}

void Device::ScheduleTick() {
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    Tick();
    ScheduleTick();
  });
}

void Device::Tick() {
  // A sensor measures at its pace whether it is connected or not; what it could not send yet waits, up to a window.
  due_ = std::min<double>(kWindow, due_ + options_.messages_per_second * std::chrono::duration<double>(kTick).count());
  if (!connected_ || finishing_) return;
  bool any = false;
  for (; due_ >= 1 && next_sequence_ - first_unacknowledged_ < kWindow; due_ -= 1) {
    acknowledged_.push_back(false);
    ledger_->Sent(options_.index, next_sequence_);
    Publish(next_sequence_++, /*dup=*/false);
    any = true;
  }
  if (any) client_->Flush();
}

void Device::Publish(uint64_t sequence, bool dup) {
  std::string payload = fmt::format("{} {} ", options_.index, sequence);
  payload.resize(std::max(payload.size(), kPayloadBytes), '.');
  mqtt::Publish publish;
  publish.topic = topic_;
  publish.payload = payload;
  publish.packet_id = mqtt::PacketIdOf(sequence);
  publish.qos = 1;
  publish.dup = dup;
  mqtt::AppendPublish(publish, client_->out());
}

void Device::OnPubacks(std::span<const uint16_t> packet_ids) {
  for (const uint16_t packet_id : packet_ids) {
    if (packet_id == 0) continue;
    const uint64_t sequence = mqtt::PacketIndex(packet_id, first_unacknowledged_);
    if (sequence >= next_sequence_) continue;
    acknowledged_[sequence - first_unacknowledged_] = true;
    ledger_->Acknowledged(options_.index, sequence);
  }
  TakeAcknowledged();
}

void Device::TakeAcknowledged() {
  while (!acknowledged_.empty() && acknowledged_.front()) {
    acknowledged_.pop_front();
    ++first_unacknowledged_;
  }
}

}  // namespace holdfast::demo
