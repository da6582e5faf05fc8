#include "services/router/listener.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "lib/base/log.h"

namespace holdfast::router {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

namespace {

using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kBacklog = 1024;
// After an accept that failed for want of file descriptors or memory.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

absl::StatusOr<Tcp::endpoint> ParseAddress(const std::string& name, const std::string& address) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        fmt::format("[router] {} \"{}\" is not an address; expected for example \"0.0.0.0:8883\"", name, address));
  };
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return bad();
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  uint16_t port = 0;
  const char* const begin = address.data() + colon + 1;
  const char* const end = address.data() + address.size();
  const auto parsed = std::from_chars(begin, end, port);
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(host, error);
  if (error || parsed.ec != std::errc() || parsed.ptr != end) return bad();
  return Tcp::endpoint(ip, port);
}

}  // namespace

struct Listener::State : std::enable_shared_from_this<State> {
  State(IoThread* t, ConnectionLimit* l) : thread(t), limit(l), acceptor(t->context()) {}

  asio::awaitable<void> Accept() {
    const auto self = shared_from_this();
    asio::steady_timer pause(thread->context());
    while (acceptor.is_open()) {
      IoThread* const target = next_thread();
      auto [error, socket] = co_await acceptor.async_accept(target->context(), kAwait);
      if (!acceptor.is_open()) co_return;
      if (error) {
        if (error == asio::error::connection_aborted) continue;
        spdlog::warn("can't accept a connection listener={} reason=\"{}\"", name, error.message());
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(kAwait);
        continue;
      }
      std::unique_ptr<ConnectionLimit::Slot> slot = limit->Take();
      if (slot == nullptr) {
        if (!full) spdlog::warn("connections_max is reached, new connections are closed listener={}", name);
        full = true;
        continue;
      }
      full = false;
      target->Post([self, target, s = std::make_shared<Tcp::socket>(std::move(socket)),
                    held = std::make_shared<std::unique_ptr<ConnectionLimit::Slot>>(std::move(slot))] {
        self->on_accept(target, std::move(*s), std::move(*held));
      });
    }
  }

  IoThread* const thread;
  ConnectionLimit* const limit;
  std::string name;
  Tcp::acceptor acceptor;
  std::function<IoThread*()> next_thread;
  OnAccept on_accept;
  bool full = false;
};

absl::StatusOr<std::unique_ptr<Listener>> Listener::Create(const Options& options, IoThread* thread,
                                                           ConnectionLimit* limit) {
  const std::string& name = options.name;
  auto endpoint = ParseAddress(name, options.address);
  if (!endpoint.ok()) return endpoint.status();
  if (options.loopback_only && !endpoint->address().is_loopback()) {
    return absl::InvalidArgumentError(fmt::format(
        "[router] {} \"{}\" would send passwords in the clear over the network; use a loopback address, or set "
        "plain_mqtt_anywhere = true",
        name, options.address));
  }
  auto listener = std::unique_ptr<Listener>(new Listener());
  listener->state_ = std::make_shared<State>(thread, limit);
  State& state = *listener->state_;
  state.name = name;
  boost::system::error_code error;
  state.acceptor.open(endpoint->protocol(), error);
  if (!error) state.acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error && options.share_port) state.acceptor.set_option(ReusePort(true), error);
  if (!error) state.acceptor.bind(*endpoint, error);
  // With SO_REUSEADDR two sockets may be bound to a port until one of them listens.
  if (!error) state.acceptor.listen(kBacklog, error);
  if (error) {
    return absl::FailedPreconditionError(fmt::format(
        "can't listen on {} ([router] {}): {}; stop what uses it, or choose another{}", options.address, name,
        error.message(), options.share_port ? "" : "; routers that are to share a port need share_ports = true"));
  }
  listener->port_ = state.acceptor.local_endpoint(error).port();
  return listener;
}

Listener::~Listener() = default;

void Listener::Start(std::function<IoThread*()> next_thread, OnAccept on_accept) {
  state_->thread->Post([state = state_, next_thread = std::move(next_thread), on_accept = std::move(on_accept)] {
    state->next_thread = next_thread;
    state->on_accept = on_accept;
    if (!state->acceptor.is_open()) return;
    asio::co_spawn(state->thread->context(), state->Accept(), asio::detached);
  });
}

void Listener::Stop() {
  state_->thread->Post([state = state_] {
    boost::system::error_code ignored;
    state->acceptor.close(ignored);
  });
}

}  // namespace holdfast::router
