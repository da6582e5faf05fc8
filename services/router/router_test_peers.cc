#include "services/router/router_test_peers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>

#include "absl/time/clock.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

}  // namespace

bool FakeAuth::Knows(const auth::v1::AuthenticateRequest& request) {
  if (const auto it = deny_after_.find(request.device_id());
      it != deny_after_.end() && asked_[request.device_id()] > it->second) {
    return false;
  }
  if (!request.password().empty()) return request.password() == "good";
  return request.certificate_chain_size() > 0 && certificates_.count(request.certificate_chain(0)) > 0;
}

grpc::Status FakeAuth::Authenticate(grpc::ServerContext*, const auth::v1::AuthenticateRequest* request,
                                    auth::v1::AuthenticateResponse* response) {
  std::function<void(const auth::v1::AuthenticateRequest&)> on_ask;
  {
    absl::MutexLock lock(&mutex_);
    request_ = *request;
    ++asked_[request->device_id()];
    on_ask = on_ask_;
  }
  if (on_ask) on_ask(*request);
  absl::MutexLock lock(&mutex_);
  if (request->device_id().starts_with("unknown")) {
    ++held_;
    const auto go_on = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !hold_; };
    mutex_.Await(absl::Condition(&go_on));
    --held_;
  }
  if (not_ready_) {
    response->set_decision(auth::v1::AuthenticateResponse::DECISION_NOT_READY);
  } else if (!Knows(*request)) {
    response->set_decision(auth::v1::AuthenticateResponse::DECISION_DENIED);
    response->set_reason(auth::v1::AuthenticateResponse::REASON_WRONG_SIGNATURE);
  } else {
    response->set_decision(auth::v1::AuthenticateResponse::DECISION_GRANTED);
    response->set_identity_version(version_);
    if (valid_for_ != absl::InfiniteDuration()) {
      response->mutable_valid_for()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(valid_for_)));
    }
  }
  return grpc::Status::OK;
}

void FakeAuth::SetValidFor(absl::Duration valid_for) {
  absl::MutexLock lock(&mutex_);
  valid_for_ = valid_for;
}

void FakeAuth::SetNotReady(bool not_ready) {
  absl::MutexLock lock(&mutex_);
  not_ready_ = not_ready;
}

void FakeAuth::SetVersion(uint64_t version) {
  absl::MutexLock lock(&mutex_);
  version_ = version;
}

void FakeAuth::AddCertificate(std::string der) {
  absl::MutexLock lock(&mutex_);
  certificates_.insert(std::move(der));
}

void FakeAuth::OnAsk(std::function<void(const auth::v1::AuthenticateRequest&)> on_ask) {
  absl::MutexLock lock(&mutex_);
  on_ask_ = std::move(on_ask);
}

void FakeAuth::DenyFromNextOn(const std::string& device) {
  absl::MutexLock lock(&mutex_);
  deny_after_[device] = asked_[device];
}

void FakeAuth::Hold(bool hold) {
  absl::MutexLock lock(&mutex_);
  hold_ = hold;
}

size_t FakeAuth::held() {
  absl::MutexLock lock(&mutex_);
  return held_;
}

size_t FakeAuth::asked(const std::string& device) {
  absl::MutexLock lock(&mutex_);
  return asked_[device];
}

auth::v1::AuthenticateRequest FakeAuth::request() {
  absl::MutexLock lock(&mutex_);
  return request_;
}

FakeCertificates::FakeCertificates()
    : key_(*pki::PrivateKey::Generate()), ca_(*pki::MakeRootCa(key_, "test CA", absl::Now())) {}

grpc::Status FakeCertificates::IssueServerCertificate(grpc::ServerContext*,
                                                      const auth::v1::IssueServerCertificateRequest* request,
                                                      auth::v1::IssueServerCertificateResponse* response) {
  const auto certificate = pki::MakeServerCertificateFromCsr(request->certificate_signing_request_pem(), {"localhost"},
                                                             ca_, key_, absl::Now());
  if (!certificate.ok()) return {grpc::StatusCode::INVALID_ARGUMENT, std::string(certificate.status().message())};
  response->set_certificate_chain_pem(certificate->ToPem() + ca_.ToPem());
  absl::MutexLock lock(&mutex_);
  response->mutable_renew_after()->set_seconds(absl::ToInt64Seconds(renew_after_));
  return grpc::Status::OK;
}

void FakeCertificates::SetRenewAfter(absl::Duration renew_after) {
  absl::MutexLock lock(&mutex_);
  renew_after_ = renew_after;
}

grpc::Status FakeIdentities::WatchIdentities(grpc::ServerContext* context, const auth::v1::WatchIdentitiesRequest*,
                                             grpc::ServerWriter<auth::v1::WatchIdentitiesResponse>* writer) {
  while (!context->IsCancelled()) {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || !responses_.empty(); };
    mutex_.AwaitWithTimeout(absl::Condition(&ready), absl::Milliseconds(20));
    if (stopped_) break;
    if (responses_.empty()) continue;
    writer->Write(responses_.front());
    responses_.pop_front();
  }
  return grpc::Status::OK;
}

void FakeIdentities::Push(auth::v1::WatchIdentitiesResponse response) {
  absl::MutexLock lock(&mutex_);
  responses_.push_back(std::move(response));
}

void FakeIdentities::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

Peer::Peer(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto connected = [&] {
    return ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  };
  EXPECT_TRUE(Eventually(connected));
}

void Peer::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

bool Peer::Fill(absl::Duration timeout) {
  pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) <= 0) return false;
  char buffer[4096];
  const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  input_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::string Peer::Read() {
  while (true) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(input_, mqtt::kPacketBytesMax);
    if (scan.state == mqtt::ScanResult::kPacket) {
      std::string packet = input_.substr(0, scan.frame.size);
      input_.erase(0, scan.frame.size);
      return packet;
    }
    if (scan.state == mqtt::ScanResult::kError || !Fill(kPatience)) return "";
  }
}

bool Peer::Closed() {
  const absl::Time deadline = absl::Now() + kPatience;
  pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  while (absl::Now() < deadline) {
    if (::poll(&p, 1, 100) <= 0) continue;
    char buffer[4096];
    if (::recv(fd_.get(), buffer, sizeof buffer, 0) <= 0) return true;
  }
  return false;
}

bool Peer::Silent(absl::Duration time) {
  return input_.empty() && !Fill(time);
}

std::optional<mqtt::Connack> Peer::Connect(const mqtt::Connect& connect) {
  Send(Bytes(connect));
  const std::string packet = Read();
  const mqtt::ScanResult scan = mqtt::ScanFrame(packet, mqtt::kPacketBytesMax);
  mqtt::Connack connack;
  if (scan.state != mqtt::ScanResult::kPacket || scan.frame.type() != mqtt::PacketType::kConnack ||
      mqtt::DecodeConnack(scan.frame, &connack) != mqtt::Error::kOk) {
    return std::nullopt;
  }
  return connack;
}

mqtt::Connect DeviceConnect(std::string_view device, bool clean_session) {
  static std::map<std::string, std::string, std::less<>> user_names;
  auto it = user_names.find(device);
  if (it == user_names.end()) {
    it = user_names.emplace(device, fmt::format("hub/{}/?api-version=2021-04-12", device)).first;
  }
  return {.client_id = it->first,
          .keep_alive_seconds = 60,
          .clean_session = clean_session,
          .has_user_name = true,
          .has_password = true,
          .user_name = it->second,
          .password = "good"};
}

std::string Bytes(const mqtt::Connect& connect) {
  std::string bytes;
  EXPECT_EQ(mqtt::AppendConnect(connect, &bytes), mqtt::Error::kOk);
  return bytes;
}

std::string Telemetry(std::string_view device, uint16_t packet_id, std::string_view body, bool dup) {
  std::string bytes;
  const std::string topic = fmt::format("devices/{}/messages/events/", device);
  EXPECT_EQ(mqtt::AppendPublish({.topic = topic,
                                 .payload = body,
                                 .packet_id = packet_id,
                                 .qos = static_cast<uint8_t>(packet_id == 0 ? 0 : 1),
                                 .dup = dup},
                                &bytes),
            mqtt::Error::kOk);
  return bytes;
}

std::string Puback(uint16_t packet_id) {
  std::string bytes;
  mqtt::AppendPuback(packet_id, &bytes);
  return bytes;
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace holdfast::router
