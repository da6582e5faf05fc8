#include "tests/system/tls_device.h"

#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "lib/mqtt/property_bag.h"
#include "tests/system/sas.h"

namespace holdfast::systest {

namespace asio = boost::asio;

mqtt::Client::Options HubLogin(const Hubsim& hub, const std::string& id, const std::string& chain, int token_seconds) {
  mqtt::Client::Options options;
  options.host = "localhost";
  options.port = static_cast<uint16_t>(hub.mqtts_port());
  options.tls = true;
  options.tls_files.ca_file = hub.ca_file();
  options.client_id = id;
  options.user_name = fmt::format("{}/{}/?api-version=2021-04-12", hub.hostname(), id);
  options.clean_session = false;
  const std::string signer = chain.empty() ? id : fmt::format("{}/$edgeHub", chain.substr(chain.rfind(';') + 1));
  if (!chain.empty()) {
    options.user_name += "&auth-chain=";
    mqtt::AppendPercentEncoded(chain, &options.user_name);
  }
  const size_t slash = std::min(signer.find('/'), signer.size());
  const std::string module = slash == signer.size() ? "" : signer.substr(slash + 1);
  options.password = SasToken(hub.hostname(), signer.substr(0, slash), hub.Key(signer), token_seconds, module);
  return options;
}

class TlsDevice::Inside : public mqtt::Client::Handler {
 public:
  explicit Inside(mqtt::Client::Options options) {
    asio::post(io_, [this, options = std::move(options)]() mutable {
      client_ = std::make_unique<mqtt::Client>(io_, std::move(options), this);
      client_->Start();
    });
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Inside() override {
    asio::post(io_, [this] {
      client_.reset();
      work_.reset();
    });
    thread_.join();
  }

  void OnConnected(bool, const std::string&) override {
    absl::MutexLock lock(&mutex_);
    connected_ = true;
  }
  void OnPubacks(std::span<const uint16_t> packet_ids) override {
    absl::MutexLock lock(&mutex_);
    for (const uint16_t id : packet_ids) {
      if (id != static_cast<uint16_t>(acked_ % 65'535 + 1)) in_order_ = false;
      ++acked_;
    }
  }
  void OnPublish(const mqtt::Publish& publish) override {
    absl::MutexLock lock(&mutex_);
    received_.push_back({.topic = std::string(publish.topic), .payload = std::string(publish.payload)});
  }
  void OnSuback(const mqtt::Suback& suback) override {
    absl::MutexLock lock(&mutex_);
    suback_ = std::string(suback.codes);
  }
  void OnClosed(const mqtt::Closed& closed) override {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    if (closed.reason == mqtt::CloseReason::kRefused) refused_ = closed.code;
  }

  // Runs `append` on the client's thread and flushes.
  void Send(std::function<void(std::string*)> append) {
    asio::post(io_, [this, append = std::move(append)] {
      if (!client_->connected()) return;
      append(client_->out());
      client_->Flush();
    });
  }

  // On the client's thread only.
  uint16_t NextId() { return static_cast<uint16_t>(published_++ % 65'535 + 1); }

  // True once `condition`, called with the lock held, holds.
  bool Await(absl::Duration timeout, const std::function<bool()>& condition) const {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(
                                       +[](const std::function<bool()>* c) { return (*c)(); }, &condition),
                                   timeout);
  }

  mutable absl::Mutex mutex_;
  bool connected_ = false;
  bool closed_ = false;
  bool in_order_ = true;
  uint64_t acked_ = 0;
  std::optional<mqtt::ConnackCode> refused_;
  std::optional<std::string> suback_;
  std::vector<Message> received_;

 private:
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::unique_ptr<mqtt::Client> client_;
  uint64_t published_ = 0;
  std::thread thread_;
};

TlsDevice::TlsDevice(mqtt::Client::Options options) : inside_(std::make_unique<Inside>(std::move(options))) {}
TlsDevice::~TlsDevice() = default;

bool TlsDevice::WaitConnected(absl::Duration timeout) {
  inside_->Await(timeout, [this] { return inside_->connected_ || inside_->closed_; });
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->connected_ && !inside_->closed_;
}

std::optional<mqtt::ConnackCode> TlsDevice::refused() const {
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->refused_;
}

bool TlsDevice::WaitClosed(absl::Duration timeout) const {
  return inside_->Await(timeout, [this] { return inside_->closed_; });
}

void TlsDevice::Publish(const std::string& topic, const std::string& payload, uint8_t qos) {
  inside_->Send([this, topic, payload, qos](std::string* out) {
    const uint16_t id = qos == 0 ? uint16_t{0} : inside_->NextId();
    mqtt::AppendPublish({.topic = topic, .payload = payload, .packet_id = id, .qos = qos}, out);
  });
}

void TlsDevice::PublishMany(const std::string& topic, const std::string& device, uint64_t count, size_t payload_bytes) {
  inside_->Send([this, topic, device, count, payload_bytes](std::string* out) {
    for (uint64_t n = 0; n < count; ++n) {
      const std::string payload = MakePayload(device, n, payload_bytes);
      mqtt::AppendPublish({.topic = topic, .payload = payload, .packet_id = inside_->NextId(), .qos = 1}, out);
    }
  });
}

std::string TlsDevice::Subscribe(const std::vector<std::string>& filters, uint8_t qos) {
  {
    absl::MutexLock lock(&inside_->mutex_);
    inside_->suback_.reset();
  }
  inside_->Send([filters, qos](std::string* out) {
    std::vector<mqtt::Subscription> subscriptions;
    for (const std::string& filter : filters) subscriptions.push_back({.filter = filter, .qos = qos});
    mqtt::AppendSubscribe(1, subscriptions, out);
  });
  inside_->Await(absl::Seconds(20), [this] { return inside_->suback_.has_value() || inside_->closed_; });
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->suback_.value_or("");
}

uint64_t TlsDevice::acknowledged() const {
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->acked_;
}

bool TlsDevice::WaitForAcks(uint64_t count, absl::Duration timeout) const {
  return inside_->Await(timeout, [this, count] { return inside_->acked_ >= count; });
}

bool TlsDevice::acks_in_order() const {
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->in_order_;
}

std::vector<TlsDevice::Message> TlsDevice::received() const {
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->received_;
}

std::optional<TlsDevice::Message> TlsDevice::WaitForMessage(size_t index, absl::Duration timeout) const {
  if (!inside_->Await(timeout, [&] { return inside_->received_.size() > index; })) return std::nullopt;
  absl::MutexLock lock(&inside_->mutex_);
  return inside_->received_[index];
}

}  // namespace holdfast::systest
