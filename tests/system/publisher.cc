#include "tests/system/publisher.h"

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "tests/system/delivery.h"
#include "tests/system/process.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

constexpr absl::Duration kReconnectPause = absl::Milliseconds(20);
constexpr uint64_t kPacketIds = 65'535;

uint16_t PacketId(uint64_t sequence) {
  return static_cast<uint16_t>(sequence % kPacketIds + 1);
}

}  // namespace

Publisher::Publisher(Options options)
    : options_(std::move(options)),
      device_(options_.device.substr(0, options_.device.find('/'))),
      module_(options_.device == device_ ? "" : options_.device.substr(device_.size() + 1)),
      count_(options_.count),
      started_(absl::Now()),
      thread_([this] { Run(); }) {}

Publisher::~Publisher() {
  stop_ = true;
  thread_.join();
}

bool Publisher::Finish(absl::Duration timeout) {
  finish_ = true;
  return WaitFor(timeout, [this] { return acknowledged_ == sent_; });
}

bool Publisher::WaitUntilAcknowledged(uint64_t count, absl::Duration timeout) {
  return WaitFor(timeout, [&] { return acknowledged_ >= count; });
}

std::optional<mqtt::ConnackCode> Publisher::refused() const {
  absl::MutexLock lock(&mutex_);
  return refused_;
}

bool Publisher::MaySend() const {
  if (finish_ || sent_ >= count_ || sent_ - acknowledged_ >= options_.window) return false;
  if (options_.rate <= 0) return true;
  return static_cast<double>(sent_) < absl::ToDoubleSeconds(absl::Now() - started_) * options_.rate;
}

void Publisher::Run() {
  while (!stop_) {
    if (!stream_.open() && !(Login() && Resend())) {
      absl::SleepFor(kReconnectPause);
      continue;
    }
    if (!Publish() || !ReadAcks()) stream_.Close();
  }
}

bool Publisher::Login() {
  stream_ = MqttStream::Connect(options_.port);
  if (!stream_.open()) return false;
  const std::string user = fmt::format("{}/{}/?api-version=2021-04-12", options_.hub_hostname, options_.device);
  const std::string password = SasToken(options_.hub_hostname, device_, options_.key, 3600, module_);
  mqtt::Connect connect;
  connect.client_id = options_.device;
  connect.clean_session = false;
  connect.keep_alive_seconds = 60;
  connect.has_user_name = connect.has_password = true;
  connect.user_name = user;
  connect.password = password;
  const auto code = stream_.Login(connect, absl::Seconds(5));
  if (code == mqtt::ConnackCode::kAccepted) {
    ++connects_;
    return true;
  }
  absl::MutexLock lock(&mutex_);
  if (code.has_value()) refused_ = code;
  stream_.Close();
  return false;
}

void Publisher::AppendMessage(uint64_t sequence, bool dup, std::string* out) const {
  const std::string topic = fmt::format("devices/{}/{}messages/events/{}", device_,
                                        module_.empty() ? "" : fmt::format("modules/{}/", module_), options_.bag);
  const std::string payload = MakePayload(options_.device, sequence, options_.payload_bytes);
  mqtt::Publish publish;
  publish.topic = topic;
  publish.payload = payload;
  publish.packet_id = PacketId(sequence);
  publish.qos = 1;
  publish.dup = dup;
  (void)mqtt::AppendPublish(publish, out);
}

bool Publisher::Resend() {
  std::string out;
  for (uint64_t sequence = acknowledged_; sequence < sent_; ++sequence) {
    AppendMessage(sequence, true, &out);
    ++resent_;
  }
  return stream_.Send(out);
}

bool Publisher::Publish() {
  std::string out;
  uint64_t n = 0;
  while (MaySend()) {
    AppendMessage(sent_++, false, &out);
    if (++n == options_.window) break;
  }
  // A gateway that pushes back does not read: wait for it as long as it takes, in steps, so that Stop is heard.
  std::string_view rest = out;
  return rest.empty() || stream_.Send(rest, absl::Seconds(60));
}

bool Publisher::ReadAcks() {
  mqtt::Frame frame;
  absl::Duration timeout = absl::Milliseconds(MaySend() ? 0 : 10);
  while (true) {
    switch (stream_.Read(&frame, timeout)) {
      case MqttStream::Result::kClosed:
        return false;
      case MqttStream::Result::kTimeout:
        return true;
      case MqttStream::Result::kPacket:
        break;
    }
    timeout = absl::ZeroDuration();
    uint16_t id = 0;
    if (frame.type() != mqtt::PacketType::kPuback || mqtt::DecodePacketId(frame, &id) != mqtt::Error::kOk) continue;
    if (acknowledged_ < sent_ && id == PacketId(acknowledged_)) {
      ++acknowledged_;
    } else {
      ++out_of_order_acks_;
    }
  }
}

}  // namespace holdfast::systest
