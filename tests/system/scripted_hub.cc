#include "tests/system/scripted_hub.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "tests/system/process.h"

namespace holdfast::systest {

struct ScriptedHub::Connection {
  explicit Connection(UniqueFd fd) : stream(std::move(fd)) {}
  MqttStream stream;
  std::string out;
  std::vector<uint16_t> owed;
  uint64_t messages = 0;
};

ScriptedHub::ScriptedHub(int port) : port_(port) {
  Listen();
  thread_ = std::thread([this] { Run(); });
}

ScriptedHub::~ScriptedHub() {
  stop_ = true;
  thread_.join();
}

void ScriptedHub::DropEvery(uint64_t messages, uint64_t unacknowledged, int times) {
  drop_unacknowledged_ = unacknowledged;
  drop_times_ = times;
  drop_every_ = messages;
}

std::vector<Arrival> ScriptedHub::Arrivals() const {
  absl::MutexLock lock(&mutex_);
  return arrivals_;
}

std::string ScriptedHub::Oddity() const {
  absl::MutexLock lock(&mutex_);
  return oddity_;
}

bool ScriptedHub::WaitForMessages(uint64_t different, absl::Duration timeout) const {
  return WaitFor(timeout, [&] { return different_ >= different; });
}

void ScriptedHub::Listen() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port_));
  socklen_t size = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd.get(), 16) != 0) return;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  listener_ = std::move(fd);
}

void ScriptedHub::Run() {
  while (!stop_) {
    if (!reachable_) {
      listener_ = UniqueFd();
      connections_.clear();
    } else if (!listener_.valid()) {
      Listen();
    }
    std::vector<pollfd> polls;
    polls.push_back({listener_.get(), POLLIN, 0});
    for (const auto& c : connections_) polls.push_back({c->stream.fd(), POLLIN, 0});
    ::poll(polls.data(), polls.size(), 5);
    if (polls[0].revents & POLLIN) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (fd.valid()) connections_.push_back(std::make_unique<Connection>(std::move(fd)));
    }
    for (const auto& c : connections_) Serve(c.get());
    std::erase_if(connections_, [](const auto& c) { return !c->stream.open(); });
    connected_ = !connections_.empty();
  }
}

// Takes what has arrived, at most some hundred packets, and answers it in one write.
void ScriptedHub::Serve(Connection* c) {
  constexpr int kPacketsMax = 512;
  const absl::Time begin = absl::Now();
  const uint64_t before = total_;
  mqtt::Frame frame;
  for (int i = 0; i < kPacketsMax; ++i) {
    const auto result = c->stream.Read(&frame, absl::ZeroDuration());
    if (result != MqttStream::Result::kPacket) break;
    if (!OnPacket(frame, c)) {
      if (!c->out.empty()) c->stream.Send(c->out);
      c->stream.Close();
      return;
    }
    if (rate_ != 0 && total_ - before >= std::max<uint64_t>(rate_ / 100, 1)) break;
  }
  if (acknowledging_) {
    for (const uint16_t id : c->owed) mqtt::AppendPuback(id, &c->out);
    c->owed.clear();
  }
  if (!c->out.empty()) c->stream.Send(c->out);
  c->out.clear();
  if (rate_ != 0 && total_ > before) {
    absl::SleepFor(absl::Seconds(static_cast<double>(total_ - before) / static_cast<double>(rate_)) -
                   (absl::Now() - begin));
  }
}

void ScriptedHub::OnPublish(const mqtt::Publish& publish, Connection* c) {
  ++c->messages;
  ++total_;
  Arrival arrival;
  const bool good = ParsePayload(publish.payload, &arrival);
  arrival.topic = std::string(publish.topic);
  if (good) {
    std::vector<bool>& seen = seen_[arrival.device];
    if (seen.size() <= arrival.sequence) seen.resize(arrival.sequence + 1);
    if (!seen[arrival.sequence]) ++different_;
    seen[arrival.sequence] = true;
  }
  absl::MutexLock lock(&mutex_);
  if (!good && oddity_.empty()) oddity_ = fmt::format("{}: {}", publish.topic, publish.payload.substr(0, 60));
  arrivals_.push_back(std::move(arrival));
}

// False: close the connection now.
bool ScriptedHub::OnPacket(const mqtt::Frame& frame, Connection* c) {
  switch (frame.type()) {
    case mqtt::PacketType::kConnect:
      ++connects_;
      mqtt::AppendConnack({}, &c->out);
      return true;
    case mqtt::PacketType::kPublish: {
      mqtt::Publish publish;
      if (mqtt::DecodePublish(frame, &publish) != mqtt::Error::kOk) return false;
      OnPublish(publish, c);
      const uint64_t every = drop_every_;
      const bool dropping = every != 0 && drop_times_ > 0;
      if (publish.qos == 1 && !(dropping && c->messages + drop_unacknowledged_ > every))
        c->owed.push_back(publish.packet_id);
      if (!dropping || c->messages < every) return true;
      for (const uint16_t id : c->owed) mqtt::AppendPuback(id, &c->out);
      --drop_times_;
      ++drops_;
      return false;
    }
    case mqtt::PacketType::kPingreq:
      mqtt::AppendPingresp(&c->out);
      return true;
    case mqtt::PacketType::kSubscribe: {
      mqtt::Subscribe subscribe;
      if (mqtt::DecodeSubscribe(frame, &subscribe) != mqtt::Error::kOk) return false;
      mqtt::AppendSuback(subscribe.packet_id, std::string(subscribe.subscriptions.size(), '\x01'), &c->out);
      return true;
    }
    case mqtt::PacketType::kDisconnect:
      return false;
    default:
      return true;
  }
}

}  // namespace holdfast::systest
