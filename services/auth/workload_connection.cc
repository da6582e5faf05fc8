#include "services/auth/workload_connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "lib/base/log.h"

namespace holdfast::auth {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using Local = asio::local::stream_protocol;

namespace {

constexpr size_t kBufferBytesMax = 64 << 10;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// How long, and how much, a refused peer may go on sending before it is cut off: it should read why first.
constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr size_t kLingerBytesMax = 8 << 20;
constexpr char kRetryAfterSeconds[] = "1";

using Parser = http::request_parser<http::string_body>;
using Response = http::response<http::string_body>;

void SetLimits(Parser* parser) {
  parser->header_limit(kWorkloadHeaderBytesMax);
  parser->body_limit(kWorkloadBodyBytesMax);
}

bool IsRequestWrong(const beast::error_code& error) {
  return error && error.category() == beast::error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

// What a request that is no request of HTTP, or too large a one, is answered with.
WorkloadResponse Refuse(const beast::error_code& error) {
  if (error == http::error::body_limit) {
    WorkloadResponse response =
        WorkloadApi::Refuse(absl::ResourceExhaustedError("the request's body is larger than 1 MiB"));
    response.status = 413;
    return response;
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    WorkloadResponse response =
        WorkloadApi::Refuse(absl::ResourceExhaustedError("the request's header is larger than 8 KiB"));
    response.status = 431;
    return response;
  }
  return WorkloadApi::Refuse(absl::InvalidArgumentError("not an HTTP request: " + error.message()));
}

WorkloadResponse Ask(const WorkloadApi& api, std::string_view module_id, const Parser& parser) {
  const auto& request = parser.get();
  const auto method = request.method_string();
  const auto target = request.target();
  return api.Answer(
      module_id,
      {.method = {method.data(), method.size()}, .target = {target.data(), target.size()}, .body = request.body()});
}

// `is_last`: what follows the request can't be told from it.
Response ToHttp(const WorkloadResponse& answer, const Parser& parser, bool is_last) {
  const bool is_head = parser.is_header_done() && parser.get().method() == http::verb::head;
  Response response(static_cast<http::status>(answer.status), 11);
  response.set(http::field::content_type, "application/json");
  response.set(http::field::cache_control, "no-store");
  if (answer.status == 503) response.set(http::field::retry_after, kRetryAfterSeconds);
  if (!answer.allow.empty()) response.set(http::field::allow, {answer.allow.data(), answer.allow.size()});
  if (!is_head) response.body() = answer.body;
  response.keep_alive(!is_last && !is_head && parser.get().keep_alive());
  response.prepare_payload();
  return response;
}

}  // namespace

class WorkloadConnection::Impl {
 public:
  Impl(Local::socket socket, const std::string& module_id, const WorkloadApi& api, absl::Duration timeout,
       const OnAnswered& on_answered)
      : module_id_(module_id),
        api_(api),
        timeout_(timeout),
        on_answered_(on_answered),
        stream_(std::move(socket)),
        buffer_(kBufferBytesMax) {}

  awaitable<void> Run() {
    bool is_more_to_come = true;
    while (is_more_to_come) is_more_to_come = co_await Exchange();
    if (is_peer_to_be_heard_out_) co_await Linger();
    stream_.close();
  }

 private:
  // One request and its answer. False: it was the last.
  awaitable<bool> Exchange() {
    parser_.emplace();
    SetLimits(&*parser_);
    SetTimeout(timeout_);
    const auto [error, size] = co_await http::async_read(stream_, buffer_, *parser_, kAwait);
    if (!TakeRequest(error)) co_return false;
    SetTimeout(timeout_);
    const auto [write_error, written] = co_await http::async_write(stream_, response_, kAwait);
    is_peer_to_be_heard_out_ = IsRequestWrong(error) && !write_error;
    co_return response_.keep_alive() && !write_error;
  }

  // Makes response_ of what was read. False: there is nobody to answer.
  bool TakeRequest(const beast::error_code& error) {
    const bool is_wrong = IsRequestWrong(error);
    if (error && !is_wrong) return false;
    const WorkloadResponse answer = is_wrong ? Refuse(error) : Ask(api_, module_id_, *parser_);
    on_answered_(answer);
    response_ = ToHttp(answer, *parser_, is_wrong);
    return true;
  }

  // To close a socket with unread bytes would take the answer away from the peer.
  awaitable<void> Linger() {
    beast::error_code ignored;
    stream_.socket().shutdown(Local::socket::shutdown_send, ignored);
    SetTimeout(kLinger);
    buffer_.clear();
    for (size_t total = 0; total < kLingerBytesMax;) {
      const auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kBufferBytesMax), kAwait);
      if (error) break;
      total += size;
    }
  }

  void SetTimeout(absl::Duration timeout) { stream_.expires_after(absl::ToChronoNanoseconds(timeout)); }

  const std::string& module_id_;
  const WorkloadApi& api_;
  const absl::Duration timeout_;
  const OnAnswered& on_answered_;
  beast::basic_stream<Local> stream_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;  // not in a coroutine's frame: GCC 12 lays that one out wrongly
  Response response_;
  bool is_peer_to_be_heard_out_ = false;
};

WorkloadConnection::WorkloadConnection(Local::socket socket, const std::string& module_id, const WorkloadApi& api,
                                       absl::Duration timeout, const OnAnswered& on_answered)
    : impl_(std::make_unique<Impl>(std::move(socket), module_id, api, timeout, on_answered)) {}

WorkloadConnection::~WorkloadConnection() = default;

awaitable<void> WorkloadConnection::Run() {
  return impl_->Run();
}

std::string AnswerWorkloadBytes(const WorkloadApi& api, std::string_view module_id, std::string_view bytes) {
  Parser parser;
  SetLimits(&parser);
  parser.eager(true);
  beast::error_code error;
  while (!error && !parser.is_done() && !bytes.empty()) {
    const size_t used = parser.put(asio::buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(used);
    if (used == 0) break;
  }
  if (error == http::error::need_more) error = {};
  if (!error && !parser.is_done() && parser.got_some()) parser.put_eof(error);
  const bool is_wrong = IsRequestWrong(error);
  if (!is_wrong && (error || !parser.is_done())) return "";
  const WorkloadResponse answer = is_wrong ? Refuse(error) : Ask(api, module_id, parser);
  std::ostringstream out;
  out << ToHttp(answer, parser, is_wrong);
  return out.str();
}

}  // namespace holdfast::auth
