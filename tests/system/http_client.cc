#include "tests/system/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace holdfast::systest {

namespace asio = boost::asio;
namespace http = boost::beast::http;

absl::StatusOr<HttpResult> HttpRequest(int port, std::string_view method, const std::string& target,
                                       const std::string& body) {
  asio::io_context io;
  boost::beast::tcp_stream stream(io);
  boost::system::error_code error;
  stream.connect(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<uint16_t>(port)), error);
  if (error) return absl::UnavailableError(error.message());
  http::request<http::string_body> request;
  request.method_string(boost::beast::string_view(method.data(), method.size()));
  request.target(target);
  request.set(http::field::host, "127.0.0.1");
  request.body() = body;
  request.keep_alive(false);
  request.prepare_payload();
  http::write(stream, request, error);
  if (error) return absl::UnavailableError(error.message());
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);
  http::read(stream, buffer, parser, error);
  if (error) return absl::UnavailableError(error.message());
  return HttpResult{.status = static_cast<int>(parser.get().result_int()), .body = std::move(parser.get().body())};
}

}  // namespace holdfast::systest
