#include "services/uplink/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <random>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/log.h"
#include "services/uplink/resolver.h"

namespace holdfast::uplink {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Probes under way at once: with one every 500 ms a path of 2 s round trip is still seen.
constexpr size_t kProbesMax = 4;
// A probe's connection must stay open for so long: a proxy whose backend is gone accepts and closes.
constexpr std::chrono::milliseconds kProbeLinger{50};
// Of the probes, one in so many asks for the name's address again.
constexpr uint32_t kProbesPerResolve = 4;

std::function<double()> SystemRandom() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return [engine = std::mt19937_64(seed)]() mutable { return std::uniform_real_distribution<double>(0, 1)(engine); };
}

std::string HostPort(const std::string& host, uint16_t port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Failure ToFailure(mqtt::CloseReason reason) {
  switch (reason) {
    case mqtt::CloseReason::kUnreachable:
      return Failure::kUnreachable;
    case mqtt::CloseReason::kSilent:
    case mqtt::CloseReason::kKeepAlive:
      return Failure::kSilent;
    case mqtt::CloseReason::kTls:
    case mqtt::CloseReason::kRefused:
    case mqtt::CloseReason::kProtocol:
      return Failure::kRefused;
    case mqtt::CloseReason::kLost:
    case mqtt::CloseReason::kLocal:
      return Failure::kLost;
  }
  return Failure::kLost;
}

}  // namespace

struct Link::Timer {
  explicit Timer(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
  // When it fires; infinite = it is not set.
  absl::Duration at = absl::InfiniteDuration();
};

struct Link::Mailbox {
  absl::Mutex mutex;
  asio::io_context* io ABSL_GUARDED_BY(mutex) = nullptr;  // null: closed
};

// One TCP connection to the hub's address, closed when it has shown that the hub can be reached. Logs in nowhere.
class Link::Probe : public std::enable_shared_from_this<Link::Probe> {
 public:
  Probe(asio::io_context& io, Link* link) : socket_(io), timer_(io), link_(link) {}

  void Start(const tcp::endpoint& endpoint) {
    address_ = endpoint.address().to_string();
    socket_.async_connect(endpoint, [self = shared_from_this()](const error_code& error) {
      if (error) return self->Done(false);
      self->Linger();
    });
  }
  void Cancel() {
    link_ = nullptr;
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

 private:
  void Linger() {
    if (!link_) return;
    timer_.expires_after(kProbeLinger);
    timer_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error) self->Done(true);
    });
    // MQTT servers speak second: readable means closed.
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code&) { self->Done(false); });
  }
  void Done(bool ok) {
    Link* const link = std::exchange(link_, nullptr);
    if (!link) return;
    const auto self = shared_from_this();
    Cancel();
    std::erase(link->probes_, self);
    if (ok) link->reachable_ = address_;
    link->Tell({.kind = ok ? Connectivity::Event::kProbeOk : Connectivity::Event::kProbeFailed});
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  Link* link_;
  std::string address_;
};

Link::Link(asio::io_context& io, Options options, const Clock& clock, Handler* handler)
    : io_(io),
      options_(std::move(options)),
      clock_(clock),
      handler_(handler),
      numeric_(IsNumericHost(options_.client.host)),
      connectivity_(options_.connectivity, SystemRandom()),
      timer_(std::make_unique<Timer>(io)),
      mailbox_(std::make_shared<Mailbox>()) {
  absl::MutexLock lock(&mailbox_->mutex);
  mailbox_->io = &io;
}

Link::~Link() {
  {
    absl::MutexLock lock(&mailbox_->mutex);
    mailbox_->io = nullptr;
  }
  for (const auto& probe : probes_) probe->Cancel();
  timer_->timer.cancel();
}

void Link::Start() {
  if (options_.client.host.empty()) return;
  network_.emplace(io_, [this] { Tell({.kind = Connectivity::Event::kNetworkChanged}); });
  started_ = true;
  if (login_ || !options_.login_comes_later) Tell({.kind = Connectivity::Event::kStart});
}

void Link::SetLogin(std::string client_id, std::string user_name, std::string password) {
  login_ = Login{std::move(client_id), std::move(user_name), std::move(password)};
  if (started_) Tell({.kind = Connectivity::Event::kStart});
}

void Link::SetMode(LinkMode mode, std::string reason) {
  if (mode == LinkMode::kOffline) {
    for (const auto& probe : std::exchange(probes_, {})) probe->Cancel();
  }
  Tell({.kind = Connectivity::Event::kMode, .reason = std::move(reason), .mode = mode});
}

void Link::Stop(std::function<void()> done) {
  stopping_ = true;
  stopped_ = std::move(done);
  network_.reset();
  timer_->timer.cancel();
  for (const auto& probe : std::exchange(probes_, {})) probe->Cancel();
  if (client_) {
    client_->Close();
  } else {
    std::exchange(stopped_, nullptr)();
  }
}

void Link::SetGoodAddress(const std::string& host_and_address) {
  const std::string prefix = options_.client.host + " ";
  if (good_address_.empty() && host_and_address.starts_with(prefix))
    good_address_ = host_and_address.substr(prefix.size());
}

void Link::Tell(Connectivity::Event event) {
  if (stopping_) return;
  event.owed = handler_->Owed();
  const LinkState before = connectivity_.state();
  const bool stalled_before = connectivity_.stalled();
  const Connectivity::Actions actions = connectivity_.On(event, Now());
  if (connectivity_.state() != before) {
    spdlog::info("link {} from={} upstream={} reason=\"{}\"", Name(connectivity_.state()), Name(before),
                 HostPort(options_.client.host, options_.client.port), connectivity_.reason());
  }
  if (connectivity_.stalled() != stalled_before) {
    if (connectivity_.stalled()) spdlog::error("connected, but the hub acknowledges nothing");
    if (!connectivity_.stalled()) spdlog::info("no longer stalled");
  }
  const bool told = event.kind == Connectivity::Event::kMode;  // the reason is another one, at least
  if (told || connectivity_.state() != before || connectivity_.stalled() != stalled_before) handler_->OnState();
  Do(actions);
  SetTimer();
}

void Link::Do(const Connectivity::Actions& actions) {
  if (actions.drop) Drop();
  if (actions.connect) Connect();
  if (actions.ping && client_) client_->Ping();
  if (actions.probe) StartProbe();
}

void Link::Drop() {
  ++attempt_;
  if (std::exchange(up_, false)) handler_->OnDown();
  client_.reset();
}

void Link::SetTimer() {
  const absl::Duration at = connectivity_.next_tick(Now());
  // One that fires early does no harm, and leaving it saves the system call, since acknowledgements come by the
  // thousand.
  if (at >= timer_->at) return;
  timer_->at = at;
  timer_->timer.expires_after(absl::ToChronoMilliseconds(std::max(at - Now(), absl::ZeroDuration())) +
                              std::chrono::milliseconds(1));
  timer_->timer.async_wait([this](const error_code& error) {
    if (!error) OnTimer();
  });
}

void Link::OnTimer() {
  timer_->at = absl::InfiniteDuration();
  Tell({});
}

void Link::Connect() {
  ++attempt_;
  attempt_at_ = Now();
  for (const auto& probe : std::exchange(probes_, {})) probe->Cancel();
  client_.reset();
  if (numeric_) {
    Dial({options_.client.host});
  } else {
    Resolve(true);
  }
}

void Link::Resolve(bool for_attempt) {
  if (!for_attempt && resolving_) return;
  resolving_ = true;
  ResolveAsync(
      options_.client.host, options_.dns_servers, options_.resolve_timeout,
      [this, mailbox = mailbox_, attempt = attempt_, for_attempt](absl::StatusOr<std::vector<std::string>> addresses) {
        // On the resolver's thread.
        absl::MutexLock lock(&mailbox->mutex);
        if (!mailbox->io) return;
        asio::post(*mailbox->io, [this, mailbox, attempt, for_attempt, addresses = std::move(addresses)]() mutable {
          {
            absl::MutexLock open(&mailbox->mutex);
            if (!mailbox->io) return;
          }
          resolving_ = false;
          OnResolved(for_attempt && attempt == attempt_, std::move(addresses));
        });
      });
}

void Link::OnResolved(bool for_attempt, absl::StatusOr<std::vector<std::string>> addresses) {
  if (stopping_) return;
  if (!for_attempt) {
    if (!addresses.ok() || std::ranges::is_permutation(*addresses, addresses_)) return;
    addresses_ = *std::move(addresses);
    Tell({.kind = Connectivity::Event::kNewAddress});
    return;
  }
  if (addresses.ok()) {
    addresses_ = *std::move(addresses);
  } else if (!good_address_.empty()) {
    spdlog::warn(
        "the hub's name can't be resolved; using the address that worked last host={} address={} reason=\"{}\"",
        options_.client.host, good_address_, Text(addresses.status()));
    addresses_ = {good_address_};
  } else {
    addresses_.clear();
    Tell({.kind = Connectivity::Event::kFailed,
          .failure = Failure::kUnreachable,
          .reason = std::string(addresses.status().message())});
    return;
  }
  Dial(addresses_);
}

void Link::Dial(std::vector<std::string> addresses) {
  mqtt::Client::Options options = options_.client;
  addresses_ = addresses;
  if (const auto it = std::ranges::find(addresses, reachable_); it != addresses.end()) {
    std::rotate(addresses.begin(), it, it + 1);
  }
  address_ = HostPort(addresses.front(), options.port);
  if (login_) {
    options.client_id = login_->client_id;
    options.user_name = login_->user_name;
    options.password = login_->password;
  }
  options.addresses = std::move(addresses);
  client_ = std::make_unique<mqtt::Client>(io_, std::move(options), static_cast<mqtt::Client::Handler*>(this));
  client_->Start();
}

void Link::StartProbe() {
  if (connectivity_.state() == LinkState::kConnecting && !client_) {
    // Still resolving: there is no connection attempt that a probe could hurry. When the system's resolver takes too
    // long (it has no deadline of its own), go with what is known.
    if (Now() - attempt_at_ < options_.resolve_timeout) return;
    if (addresses_.empty() && good_address_.empty()) return;
    ++attempt_;
    spdlog::warn("the hub's name is not resolved in time; using the address known host={}", options_.client.host);
    Dial(addresses_.empty() ? std::vector<std::string>{good_address_} : addresses_);
    return;
  }
  if (!numeric_ && probes_made_++ % kProbesPerResolve == 0) Resolve(false);
  std::string target = !addresses_.empty() ? addresses_[probes_made_ % addresses_.size()] : good_address_;
  error_code error;
  const auto address = asio::ip::make_address(target, error);
  if (error) return;
  if (probes_.size() == kProbesMax) {
    probes_.front()->Cancel();
    probes_.pop_front();
    Tell({.kind = Connectivity::Event::kProbeFailed});
  }
  probes_.push_back(std::make_shared<Probe>(io_, this));
  probes_.back()->Start({address, options_.client.port});
}

void Link::OnStage(mqtt::Stage stage) {
  if (stage == mqtt::Stage::kTls || stage == mqtt::Stage::kLogin) Tell({.kind = Connectivity::Event::kTransport});
}

void Link::OnConnected(bool, const std::string& address) {
  if (stopping_) return;
  ++connects_;
  reachable_ = address;
  address_ = HostPort(address, options_.client.port);
  Tell({.kind = Connectivity::Event::kLogin});
  up_ = true;
  if (handler_->OnUp(client_.get())) Synced();
  if (!numeric_ && address != good_address_) {
    good_address_ = address;
    handler_->OnGoodAddress(options_.client.host + " " + address);
  }
}

void Link::OnPubacks(std::span<const uint16_t> packet_ids) {
  if (!handler_->OnPubacks(packet_ids)) return;
  Tell({.kind = Connectivity::Event::kProgress});
}

void Link::Synced() {
  if (up_) Tell({.kind = Connectivity::Event::kSynced});
}

void Link::OnPublish(const mqtt::Publish& publish) {
  handler_->OnPublish(publish);
}

void Link::OnSuback(const mqtt::Suback& suback) {
  handler_->OnSuback(suback);
}

void Link::OnPingresp() {
  Tell({.kind = Connectivity::Event::kPong});
}

void Link::OnWritten() {
  handler_->OnWritten();
}

void Link::OnClosed(const mqtt::Closed& closed) {
  ++attempt_;
  if (std::exchange(up_, false)) handler_->OnDown();
  client_.reset();
  if (closed.reason == mqtt::CloseReason::kUnreachable) reachable_.clear();
  if (closed.reason == mqtt::CloseReason::kRefused && !stopping_) handler_->OnRefused(closed.code);
  if (stopping_) {
    if (stopped_) std::exchange(stopped_, nullptr)();
    return;
  }
  Tell({.kind = Connectivity::Event::kFailed,
        .failure = ToFailure(closed.reason),
        .reason = fmt::format("{}: {}", mqtt::Name(closed.stage), std::string(closed.status.message()))});
}

}  // namespace holdfast::uplink
