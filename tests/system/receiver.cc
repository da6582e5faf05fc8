#include "tests/system/receiver.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

constexpr absl::Duration kQuiet = absl::Milliseconds(20);
constexpr absl::Duration kReconnectWait = absl::Milliseconds(20);
constexpr uint16_t kSubscribeId = 1;

}  // namespace

Receiver::Receiver(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

Receiver::~Receiver() {
  stop_ = true;
  thread_.join();
}

void Receiver::Run() {
  while (!stop_) {
    if (Login()) Serve();
    stream_.Close();
    absl::SleepFor(kReconnectWait);
  }
}

bool Receiver::Login() {
  stream_ = MqttStream::Connect(options_.port);
  if (!stream_.open()) return false;
  const size_t slash = std::min(options_.client.find('/'), options_.client.size());
  const std::string module = slash == options_.client.size() ? "" : options_.client.substr(slash + 1);
  const std::string user = fmt::format("{}/{}/?api-version=2021-04-12", options_.hub_hostname, options_.client);
  const std::string password =
      SasToken(options_.hub_hostname, options_.client.substr(0, slash), options_.key, 3600, module);
  mqtt::Connect connect;
  connect.client_id = options_.client;
  connect.clean_session = false;
  connect.keep_alive_seconds = 60;
  connect.has_user_name = connect.has_password = true;
  connect.user_name = user;
  connect.password = password;
  if (stream_.Login(connect, absl::Seconds(5)) != mqtt::ConnackCode::kAccepted) return false;
  ++connects_;
  if (subscribed_) return true;
  std::string subscribe;
  (void)mqtt::AppendSubscribe(kSubscribeId, {{.filter = options_.filter, .qos = 1}}, &subscribe);
  return stream_.Send(subscribe);
}

void Receiver::Serve() {
  std::string acks;
  size_t held = 0;
  while (!stop_ && !break_.exchange(false)) {
    mqtt::Frame frame;
    const MqttStream::Result result = stream_.Read(&frame, kQuiet);
    if (result == MqttStream::Result::kClosed) return;
    if (result == MqttStream::Result::kPacket && frame.type() == mqtt::PacketType::kSuback) subscribed_ = true;
    mqtt::Publish publish;
    if (result == MqttStream::Result::kPacket && frame.type() == mqtt::PacketType::kPublish &&
        mqtt::DecodePublish(frame, &publish) == mqtt::Error::kOk) {
      Record(publish);
      mqtt::AppendPuback(publish.packet_id, &acks);
      held_max_ = std::max(held_max_.load(), ++held);
      if (held < options_.acknowledge_at) continue;
    }
    if (hold_ || acks.empty()) continue;
    if (!stream_.Send(acks)) return;
    acks.clear();
    held = 0;
  }
}

void Receiver::Record(const mqtt::Publish& publish) {
  dups_ += publish.dup;
  Arrival arrival;
  if (!ParsePayload(publish.payload, &arrival)) return;
  arrival.topic = std::string(publish.topic);
  absl::MutexLock lock(&mutex_);
  if (arrival.sequence >= seen_.size()) seen_.resize(arrival.sequence + 1);
  different_ += !seen_[arrival.sequence];
  seen_[arrival.sequence] = true;
  arrivals_.push_back(std::move(arrival));
}

bool Receiver::WaitUntilSubscribed(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!subscribed_ && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  return subscribed_;
}

bool Receiver::WaitForMessages(uint64_t different, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return different_ >= different; };
  return mutex_.AwaitWithTimeout(absl::Condition(&there), timeout);
}

std::vector<Arrival> Receiver::Arrivals() const {
  absl::MutexLock lock(&mutex_);
  return arrivals_;
}

uint64_t Receiver::different() const {
  absl::MutexLock lock(&mutex_);
  return different_;
}

}  // namespace holdfast::systest
