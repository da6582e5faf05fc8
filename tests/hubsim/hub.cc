#include "tests/hubsim/hub.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "tests/hubsim/control_api.h"
#include "tests/hubsim/device_endpoint.h"
#include "tests/hubsim/hub_state.h"
#include "tests/hubsim/registry_file.h"
#include "tests/hubsim/scope_api.h"
#include "tests/hubsim/service_api.h"

namespace holdfast::hubsim {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kSaveDelay = std::chrono::milliseconds(50);
constexpr auto kStopGrace = std::chrono::seconds(2);
constexpr std::string_view kLoopback = "127.0.0.1";

// Client certificates are asked for, never demanded, and judged at CONNECT: TLS itself believes any.
absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeTls(const std::string& cert_file, const std::string& key_file) {
  auto tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  boost::system::error_code error;
  tls->use_certificate_chain_file(cert_file, error);
  if (error) return absl::InvalidArgumentError(fmt::format("--cert {}: {}", cert_file, error.message()));
  tls->use_private_key_file(key_file, asio::ssl::context::pem, error);
  if (error) return absl::InvalidArgumentError(fmt::format("--key {}: {}", key_file, error.message()));
  SSL_CTX* const raw = tls->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  return tls;
}

}  // namespace

class Hub::Impl {
 public:
  Impl(HubOptions options, const Clock& clock, std::unique_ptr<asio::ssl::context> tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        state_{.clock = clock, .registry = Registry(options_.devices_max)},
        registry_file_(options_.registry_file, options_.save),
        devices_(io_, *tls_, state_, [this] { SaveSoon(); }),
        service_(state_, devices_, [this] { SaveSoon(); }),
        control_(io_, state_, devices_, service_, [this] { OnFaultsChanged(); }),
        rest_server_(io_, tls_.get(), [this](const HttpRequest& request) { return AnswerRest(request); }),
        control_server_(io_, nullptr, [this](const HttpRequest& request) { return control_.Answer(request); }),
        faults_changed_(io_) {}

  absl::Status Open() {
    RETURN_IF_ERROR(registry_file_.Load(state_.clock.WallNow(), &state_.registry, &state_.twins));
    const Authenticator::Options who{.hostname = options_.hostname,
                                     .service_key = options_.service_key,
                                     .device_ca_file = options_.device_ca_file,
                                     .clock_skew = absl::Seconds(options_.clock_skew_seconds)};
    ASSIGN_OR_RETURN(state_.authenticator, Authenticator::Create(who, state_.registry));
    const EventLog::Options log{
        .events_max = options_.events_max, .bytes_max = options_.events_bytes_max, .file = options_.events_file};
    ASSIGN_OR_RETURN(state_.events, EventLog::Create(log));
    RETURN_IF_ERROR(devices_.Open(options_.bind, options_.mqtts_port));
    RETURN_IF_ERROR(rest_server_.Open(options_.bind, options_.https_port));
    return control_server_.Open(std::string(kLoopback), options_.control_port);
  }

  std::string Description() const {
    const nlohmann::json line = {
        {"hostname", options_.hostname},
        {"mqtts_port", devices_.port()},
        {"rest_url", fmt::format("https://localhost:{}", rest_server_.port())},
        {"control_url", fmt::format("http://{}:{}", kLoopback, control_server_.port())},
        {"service_connection_string", fmt::format("HostName={};SharedAccessKeyName=iothubowner;SharedAccessKey={}",
                                                  options_.hostname, options_.service_key)}};
    return line.dump();
  }

  void Run() {
    io_.run();
    // Connections have been closed: their last handlers run.
    io_.restart();
    io_.run_for(kStopGrace);
  }

  void Stop() {
    asio::post(io_, [this] {
      state_.faults.Clear(0);
      faults_changed_.cancel();
      save_timer_.cancel();
      control_.Stop();
      control_server_.Stop();
      rest_server_.Stop();
      devices_.Stop();
      registry_file_.Save(state_.registry, state_.twins);
      io_.stop();
    });
  }

 private:
  awaitable<HttpResponse> AnswerRest(const HttpRequest& request) {
    co_await Delay(request);
    HttpResponse response = RestFault(request);
    if (response.status == 0) {
      if (IsScopeRequest(request)) {
        response = AnswerScopeRequest(request, state_);
      } else if (!ServiceApi::Serves(request)) {
        response = ErrorResponse(404, "no such resource");
      } else if (const absl::Status status =
                     state_.authenticator->CheckService(request.authorization, state_.clock.WallNow());
                 !status.ok()) {
        response = ErrorResponse(401, std::string(status.message()));
      } else {
        response = co_await service_.Answer(request);
      }
    }
    Spoil(request, &response);
    ++state_.counters.rest[response.status];
    co_return response;
  }

  // Waits while REST hangs, or as long as a fault says.
  awaitable<void> Delay(const HttpRequest& request) {
    while (state_.faults.Hang("rest") != nullptr) {
      faults_changed_.expires_at(std::chrono::steady_clock::time_point::max());
      co_await faults_changed_.async_wait(kAwait);
    }
    Fault* slow = state_.faults.FindRest(FaultKind::kRestSlow, request.path);
    if (slow == nullptr) co_return;
    ++slow->struck;
    asio::steady_timer timer(io_, std::chrono::milliseconds(slow->ms));
    co_await timer.async_wait(kAwait);
  }

  // Status 0: no fault.
  HttpResponse RestFault(const HttpRequest& request) {
    HttpResponse response;
    response.status = 0;
    Fault* fault = state_.faults.FindRest(FaultKind::kRestStatus, request.path);
    if (fault == nullptr || ++fault->seen <= fault->after) return response;
    ++fault->struck;
    response = ErrorResponse(fault->code, "fault");
    if (fault->retry_after > 0) response.headers.emplace_back("Retry-After", std::to_string(fault->retry_after));
    return response;
  }

  void Spoil(const HttpRequest& request, HttpResponse* response) {
    if (state_.faults.empty() || response->status >= 300) return;
    if (Fault* fault = state_.faults.FindRest(FaultKind::kRestWrongJson, request.path)) {
      ++fault->struck;
      response->body = R"({"devices":{"not":"an array"},"modules":17,"continuationLink":[]})";
    } else if (Fault* cut = state_.faults.FindRest(FaultKind::kRestTruncated, request.path)) {
      ++cut->struck;
      response->body.resize(response->body.size() / 2);
    }
  }

  void OnFaultsChanged() {
    devices_.OnFaultsChanged();
    rest_server_.SetRefusing(state_.faults.Refuses("rest"));
    rest_server_.SetHanging(state_.faults.Hang("rest") != nullptr);
    faults_changed_.cancel();
  }

  // Edits that come close together are written once.
  void SaveSoon() {
    if (!options_.save || save_pending_) return;
    save_pending_ = true;
    save_timer_.expires_after(kSaveDelay);
    save_timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      save_pending_ = false;
      registry_file_.Save(state_.registry, state_.twins);
    });
  }

  const HubOptions options_;
  asio::io_context io_{1};
  const std::unique_ptr<asio::ssl::context> tls_;
  HubState state_;
  RegistryFile registry_file_;
  DeviceEndpoint devices_;
  ServiceApi service_;
  ControlApi control_;
  HttpServer rest_server_;
  HttpServer control_server_;
  asio::steady_timer faults_changed_;
  asio::steady_timer save_timer_{io_};
  bool save_pending_ = false;
};

Hub::Hub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hub::~Hub() = default;

absl::StatusOr<std::unique_ptr<Hub>> Hub::Create(HubOptions options, const Clock& clock) {
  std::string key;
  if (options.service_key.empty()) options.service_key = NewKey();
  if (!absl::Base64Unescape(options.service_key, &key) || key.empty()) {
    return absl::InvalidArgumentError("--service-key must be base64");
  }
  ASSIGN_OR_RETURN(auto tls, MakeTls(options.cert_file, options.key_file));
  auto impl = std::make_unique<Impl>(std::move(options), clock, std::move(tls));
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Hub>(new Hub(std::move(impl)));
}

std::string Hub::Description() const {
  return impl_->Description();
}
void Hub::Run() {
  impl_->Run();
}
void Hub::Stop() {
  impl_->Stop();
}

}  // namespace holdfast::hubsim
