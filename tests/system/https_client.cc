#include "tests/system/https_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace holdfast::systest {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

absl::StatusOr<HttpsAnswer> Ask(const HttpsRequest& wanted) {
  boost::system::error_code error;
  asio::io_context io;
  asio::ssl::context tls(asio::ssl::context::tls_client);
  tls.load_verify_file(wanted.ca_file, error);
  if (error) return absl::InvalidArgumentError(wanted.ca_file);
  asio::ssl::stream<tcp::socket> stream(io, tls);
  stream.set_verify_mode(asio::ssl::verify_peer);
  stream.set_verify_callback(asio::ssl::host_name_verification("localhost"));
  stream.next_layer().connect(tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<uint16_t>(wanted.port)),
                              error);
  if (!error) stream.handshake(asio::ssl::stream_base::client, error);
  if (error) return absl::UnavailableError(error.message());
  http::request<http::string_body> request;
  request.method_string(boost::beast::string_view(wanted.method.data(), wanted.method.size()));
  request.target(wanted.target);
  request.set(http::field::host, "localhost");
  if (!wanted.authorization.empty()) request.set(http::field::authorization, wanted.authorization);
  request.body() = wanted.body;
  request.keep_alive(false);
  request.prepare_payload();
  http::write(stream, request, error);
  if (error) return absl::UnavailableError(error.message());
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);
  http::read(stream, buffer, parser, error);
  if (error) return absl::UnavailableError(error.message());
  auto& answer = parser.get();
  return HttpsAnswer{.status = static_cast<int>(answer.result_int()),
                     .body = std::move(answer.body()),
                     .retry_after = std::string(answer[http::field::retry_after])};
}

}  // namespace holdfast::systest
