#include "tests/hubsim/methods.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace holdfast::hubsim {
namespace {

namespace asio = boost::asio;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// The errors' texts are the hub's: JSON inside of the Message.
std::string Text(int code, std::string_view what) {
  return fmt::format(R"({{"errorCode":{},"message":"{}"}})", code, what);
}

}  // namespace

asio::awaitable<absl::StatusOr<MethodResult>> Methods::Invoke(const MethodCall& call) {
  if (waiters_.size() >= kMethodCallsMax) co_return absl::ResourceExhaustedError("too many methods wait for an answer");
  const auto waiter = std::make_shared<Waiter>(io_);
  waiter->client = call.client;
  waiters_.push_back(waiter);
  const std::string rid = std::to_string(next_rid_++);
  const auto forget = [this, &waiter] { std::erase(waiters_, waiter); };

  // expires_at would cancel a wait that OnReady ended already; so each wait checks again.
  const auto give_up = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(call.connect_timeout);
  bool sent = send_(call, rid);
  while (!sent && !stopped_ && std::chrono::steady_clock::now() < give_up) {
    waiter->timer.expires_at(give_up);
    co_await waiter->timer.async_wait(kAwait);
    sent = send_(call, rid);
  }
  if (!sent) {
    forget();
    co_return absl::NotFoundError(Text(404103, "Timed out waiting for device to connect."));
  }
  waiter->rid = rid;
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(call.response_timeout);
  while (!waiter->done && !stopped_ && std::chrono::steady_clock::now() < deadline) {
    waiter->timer.expires_at(deadline);
    co_await waiter->timer.async_wait(kAwait);
  }
  forget();
  if (!waiter->done)
    co_return absl::DeadlineExceededError(Text(504101, "Timed out waiting for the response from device."));
  co_return std::move(waiter->result);
}

void Methods::OnReady(std::string_view client) {
  for (const auto& waiter : waiters_) {
    if (waiter->rid.empty() && waiter->client == client) waiter->timer.cancel();
  }
}

void Methods::OnResponse(std::string_view client, std::string_view rid, int status, std::string_view payload) {
  for (const auto& waiter : waiters_) {
    if (waiter->done || waiter->rid != rid || waiter->client != client) continue;
    waiter->done = true;
    waiter->result = {.status = status, .payload = std::string(payload)};
    waiter->timer.cancel();
    return;
  }
}

void Methods::Stop() {
  stopped_ = true;
  for (const auto& waiter : waiters_) waiter->timer.cancel();
}

}  // namespace holdfast::hubsim
