#include "tests/system/recorder.h"

#include "absl/time/clock.h"
#include "tests/system/process.h"

namespace holdfast::systest {

Recorder::Recorder(int port, std::string filter)
    : port_(port), filter_(std::move(filter)), thread_([this] { Run(); }) {}

Recorder::~Recorder() {
  stop_ = true;
  thread_.join();
}

bool Recorder::WaitUntilSubscribed(absl::Duration timeout) {
  return WaitFor(timeout, [this] { return subscribed_.load(); });
}

bool Recorder::WaitForMessages(uint64_t different, absl::Duration timeout) {
  return WaitFor(timeout, [&] { return this->different() >= different; });
}

std::vector<Arrival> Recorder::Arrivals() const {
  absl::MutexLock lock(&mutex_);
  return arrivals_;
}

uint64_t Recorder::different() const {
  absl::MutexLock lock(&mutex_);
  return different_;
}

uint64_t Recorder::total() const {
  absl::MutexLock lock(&mutex_);
  return arrivals_.size();
}

bool Recorder::Subscribe() {
  stream_ = MqttStream::Connect(port_);
  mqtt::Connect connect;
  connect.client_id = "recorder";
  connect.clean_session = false;
  connect.keep_alive_seconds = 60;
  if (!stream_.open() || stream_.Login(connect) != mqtt::ConnackCode::kAccepted) return false;
  std::string out;
  (void)mqtt::AppendSubscribe(1, {{filter_, 1}}, &out);
  return stream_.Send(out);
}

void Recorder::Record(const mqtt::Publish& publish) {
  Arrival arrival;
  if (!ParsePayload(publish.payload, &arrival)) return;
  arrival.topic = std::string(publish.topic);
  absl::MutexLock lock(&mutex_);
  std::vector<bool>& seen = seen_[arrival.device];
  if (seen.size() <= arrival.sequence) seen.resize(arrival.sequence + 1);
  if (!seen[arrival.sequence]) ++different_;
  seen[arrival.sequence] = true;
  arrivals_.push_back(std::move(arrival));
}

void Recorder::Run() {
  while (!stop_) {
    if (!stream_.open() && !Subscribe()) {
      stream_.Close();
      absl::SleepFor(absl::Milliseconds(20));
      continue;
    }
    mqtt::Frame frame;
    std::string acks;
    auto result = stream_.Read(&frame, absl::Milliseconds(50));
    while (result == MqttStream::Result::kPacket) {
      mqtt::Publish publish;
      if (frame.type() == mqtt::PacketType::kSuback) subscribed_ = true;
      if (frame.type() == mqtt::PacketType::kPublish && mqtt::DecodePublish(frame, &publish) == mqtt::Error::kOk) {
        Record(publish);
        if (publish.qos == 1) mqtt::AppendPuback(publish.packet_id, &acks);
      }
      if (acks.size() > 4096) break;
      result = stream_.Read(&frame, absl::ZeroDuration());
    }
    if (!acks.empty()) stream_.Send(acks);
  }
}

}  // namespace holdfast::systest
