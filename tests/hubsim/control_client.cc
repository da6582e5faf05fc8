#include "tests/hubsim/control_client.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <mutex>

namespace holdfast::hubsim {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr size_t kAnswerBytesMax = 512 << 20;
constexpr size_t kReadBytes = 64 << 10;

absl::Status Unavailable(uint16_t port, const boost::system::error_code& error) {
  return absl::UnavailableError(fmt::format("hubsim's control port {}: {}", port, error.message()));
}

http::request<http::string_body> MakeRequest(std::string_view method, const std::string& target, std::string body) {
  http::request<http::string_body> request;
  request.method_string({method.data(), method.size()});
  request.target(target);
  request.version(11);
  request.set(http::field::host, "127.0.0.1");
  request.set(http::field::connection, "close");
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = std::move(body);
  request.prepare_payload();
  return request;
}

std::string TextOr(const nlohmann::json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<ControlAnswer> ControlClient::Exchange(std::string_view method, const std::string& target,
                                                      const std::string& body) const {
  asio::io_context io;
  tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect({asio::ip::address_v4::loopback(), port_}, error);
  if (error) return Unavailable(port_, error);
  http::write(socket, MakeRequest(method, target, body), error);
  if (error) return Unavailable(port_, error);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerBytesMax);
  http::read(socket, buffer, parser, error);
  if (error) return Unavailable(port_, error);
  return ControlAnswer{.status = static_cast<int>(parser.get().result_int()), .body = std::move(parser.get().body())};
}

absl::StatusOr<std::string> ControlClient::Request(std::string_view method, const std::string& target,
                                                   const std::string& body) const {
  absl::StatusOr<ControlAnswer> answer = Exchange(method, target, body);
  if (!answer.ok()) return answer.status();
  if (answer->status >= 400) {
    return absl::InvalidArgumentError(
        fmt::format("{} {}: status {}: {}", method, target, answer->status, answer->body));
  }
  return std::move(answer->body);
}

absl::StatusOr<nlohmann::json> ControlClient::Get(const std::string& target) const {
  const auto body = Request("GET", target);
  if (!body.ok()) return body.status();
  nlohmann::json json = nlohmann::json::parse(*body, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InternalError(fmt::format("GET {}: no JSON: {}", target, *body));
  return json;
}

absl::Status ControlClient::Post(const std::string& target, const nlohmann::json& body) const {
  return Request("POST", target, body.dump()).status();
}

absl::Status ControlClient::Put(const std::string& target, const nlohmann::json& body) const {
  return Request("PUT", target, body.dump()).status();
}

absl::Status ControlClient::Delete(const std::string& target) const {
  return Request("DELETE", target).status();
}

// Closed by the destructor while the thread reads from it.
struct EventStream::Socket {
  asio::io_context io;
  tcp::socket socket{io};
  std::mutex mutex;
  bool is_stopped = false;
};

EventStream::EventStream(uint16_t port, uint64_t from, std::function<void(const Event&)> on_event)
    : port_(port),
      on_event_(std::move(on_event)),
      socket_(std::make_unique<Socket>()),
      thread_([this, from] { Run(from); }) {}

EventStream::~EventStream() {
  {
    const std::scoped_lock lock(socket_->mutex);
    socket_->is_stopped = true;
    boost::system::error_code ignored;
    socket_->socket.shutdown(tcp::socket::shutdown_both, ignored);
  }
  thread_.join();
}

void EventStream::Run(uint64_t from) {
  boost::system::error_code error;
  {
    const std::scoped_lock lock(socket_->mutex);
    if (socket_->is_stopped) return;
    socket_->socket.connect({asio::ip::address_v4::loopback(), port_}, error);
  }
  if (error) return;
  http::write(socket_->socket, MakeRequest("GET", fmt::format("/events?follow=true&from={}", from), ""), error);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  if (!error) http::read_header(socket_->socket, buffer, parser, error);
  if (error || parser.get().result() != http::status::ok) return;
  is_open_ = true;
  std::array<char, kReadBytes> chunk;
  std::string partial;
  while (!parser.is_done()) {
    parser.get().body().data = chunk.data();
    parser.get().body().size = chunk.size();
    http::read_some(socket_->socket, buffer, parser, error);
    if (error && error != http::error::need_buffer) break;
    partial.append(chunk.data(), chunk.size() - parser.get().body().size);
    size_t begin = 0;
    for (size_t end; (end = partial.find('\n', begin)) != std::string::npos; begin = end + 1) {
      TakeLine(std::string_view(partial).substr(begin, end - begin));
    }
    partial.erase(0, begin);
  }
  is_open_ = false;
}

void EventStream::TakeLine(std::string_view line) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("seq")) return;
  Event event;
  event.seq = json.at("seq").get<uint64_t>();
  event.device_id = TextOr(json, "device_id");
  event.module_id = TextOr(json, "module_id");
  event.actor = TextOr(json, "actor");
  event.topic = TextOr(json, "topic");
  if (const auto at = json.find("properties"); at != json.end()) event.properties = *at;
  absl::Base64Unescape(TextOr(json, "body"), &event.body);
  on_event_(event);
}

}  // namespace holdfast::hubsim
