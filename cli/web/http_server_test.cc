#include "cli/web/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <vector>

#include "lib/testing/temp_dir.h"

namespace holdfast::web {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

constexpr auto kLoopback = "127.0.0.1";

std::unique_ptr<HttpServer> Serve(HttpServer::Handler handler) {
  auto server =
      HttpServer::Create({.address = tcp::endpoint(asio::ip::make_address(kLoopback), 0)}, std::move(handler));
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

HttpResponse Hello(const HttpRequest& request) {
  HttpResponse response;
  response.body = request.method + " " + request.path + " ?" + request.query + " @" + request.host;
  return response;
}

// A client that sends bytes as they are. What is awaited comes, or the test's time ends.
class Peer {
 public:
  explicit Peer(const HttpServer& server) : socket_(io_) {
    socket_.connect(tcp::endpoint(asio::ip::make_address(kLoopback), server.port()));
  }
  // False: the server does not take them.
  bool Send(const std::string& bytes) {
    boost::system::error_code error;
    asio::write(socket_, asio::buffer(bytes), error);
    return !error;
  }
  // All up to and including `end`; less if the connection ends before.
  std::string ReadUntil(const std::string& end) {
    while (text_.find(end) == std::string::npos && Fill()) {
    }
    const size_t at = std::min(text_.find(end), text_.size());
    const std::string result = text_.substr(0, at + end.size());
    text_.erase(0, result.size());
    return result;
  }
  std::string ReadToEnd() {
    while (Fill()) {
    }
    return text_;
  }

 private:
  bool Fill() {
    char buffer[4096];
    boost::system::error_code error;
    const size_t got = socket_.read_some(asio::buffer(buffer), error);
    text_.append(buffer, got);
    return !error;
  }
  asio::io_context io_;
  tcp::socket socket_;
  std::string text_;
};

TEST(HttpServerTest, AnswersWithTheHeadersThatProtectABrowser) {
  const auto server = Serve(Hello);
  Peer peer(*server);
  peer.Send("GET /a?b=c HTTP/1.1\r\nHost: gw\r\n\r\n");
  const std::string answer = peer.ReadUntil("@gw");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("GET /a ?b=c @gw"));
  EXPECT_THAT(answer, HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'self'"));
  EXPECT_THAT(answer, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(answer, HasSubstr("X-Frame-Options: DENY"));
  EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff"));
  EXPECT_THAT(answer, HasSubstr("Cache-Control: no-store"));
}

TEST(HttpServerTest, ConnectionIsKeptForTheNextRequest) {
  const auto server = Serve(Hello);
  Peer peer(*server);
  for (int i = 0; i < 3; ++i) {
    peer.Send("GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: gw\r\n\r\n");
    EXPECT_THAT(peer.ReadUntil("@gw"), HasSubstr("GET /" + std::to_string(i)));
  }
  // Two at once are answered one after the other.
  peer.Send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\nGET /y HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(peer.ReadUntil("@gw"), HasSubstr("GET /x"));
  EXPECT_THAT(peer.ReadToEnd(), HasSubstr("GET /y"));
}

TEST(HttpServerTest, P12_TooMuchIsRefused) {
  const auto server = Serve(Hello);
  Peer header(*server), body(*server), nonsense(*server);
  header.Send("GET / HTTP/1.1\r\nHost: gw\r\nX: " + std::string(2 * kHeaderBytesMax, 'x'));
  EXPECT_THAT(header.ReadToEnd(), StartsWith("HTTP/1.1 431"));
  body.Send("POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_THAT(body.ReadToEnd(), StartsWith("HTTP/1.1 413"));
  nonsense.Send("\x16\x03\x01 this is TLS\r\n\r\n");
  EXPECT_THAT(nonsense.ReadToEnd(), StartsWith("HTTP/1.1 400"));
  Peer peer(*server);
  peer.Send("GET /still HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_THAT(peer.ReadUntil("@gw"), HasSubstr("GET /still"));
}

TEST(HttpServerTest, P12_ConnectionsAreLimited) {
  const auto server = Serve(Hello);
  std::vector<std::unique_ptr<Peer>> peers;
  const auto served = [](Peer& peer) {
    peer.Send("GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
    return !peer.ReadUntil("@gw").empty();
  };
  for (size_t i = 0; i < kConnectionsMax; ++i) {
    peers.push_back(std::make_unique<Peer>(*server));
    ASSERT_TRUE(served(*peers.back())) << i;
  }
  Peer one_more(*server);
  EXPECT_FALSE(served(one_more));
  peers.pop_back();
  // Its end is noticed a moment later.
  bool is_served = false;
  for (int i = 0; i < 1'000 && !is_served; ++i) {
    Peer next(*server);
    is_served = served(next);
  }
  EXPECT_TRUE(is_served);
}

TEST(HttpServerTest, StreamSendsWhenItIsWoken) {
  std::atomic<int> told = 0;
  const auto server = Serve([&](const HttpRequest&) {
    HttpResponse response;
    response.content_type = "text/event-stream";
    response.more = [&told, sent = 0]() mutable -> std::optional<std::string> {
      if (told == 3) return std::nullopt;
      if (sent == told) return "";
      sent = told;
      return "piece " + std::to_string(sent) + ";";
    };
    return response;
  });
  Peer peer(*server);
  peer.Send("GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_THAT(peer.ReadUntil("\r\n\r\n"), HasSubstr("Transfer-Encoding: chunked"));
  for (int i = 1; i <= 2; ++i) {
    told = i;
    server->Wake();
    EXPECT_THAT(peer.ReadUntil(";"), HasSubstr("piece " + std::to_string(i)));
  }
  told = 3;
  server->Wake();
  EXPECT_THAT(peer.ReadToEnd(), HasSubstr("\r\n0\r\n\r\n")) << "the end is said";
}

TEST(HttpServerTest, HandlerThatBlocksDoesNotHoldUpStreams) {
  std::atomic<bool> go_on = false;
  std::atomic<int> blocked = 0;
  const auto server = Serve([&](const HttpRequest& request) {
    HttpResponse response = Hello(request);
    if (request.path == "/slow") {
      ++blocked;
      go_on.wait(false);
    }
    if (request.path == "/stream") {
      response.more = [sent = 0]() mutable -> std::optional<std::string> {
        return "piece " + std::to_string(++sent) + ";";
      };
    }
    return response;
  });
  Peer stream(*server), one(*server), two(*server);
  stream.Send("GET /stream HTTP/1.1\r\nHost: gw\r\n\r\n");
  stream.ReadUntil("piece 1;");
  one.Send("GET /slow HTTP/1.1\r\nHost: gw\r\n\r\n");
  two.Send("GET /slow HTTP/1.1\r\nHost: gw\r\n\r\n");
  while (blocked < 2) std::this_thread::yield();
  EXPECT_THAT(stream.ReadUntil("piece 100;"), HasSubstr("piece 100;"));
  go_on = true;
  go_on.notify_all();
  EXPECT_THAT(one.ReadUntil("@gw"), HasSubstr("GET /slow"));
}

TEST(HttpServerTest, EndsWithConnectionsOpen) {
  auto server = Serve([](const HttpRequest& request) {
    HttpResponse response = Hello(request);
    if (request.path == "/stream") response.more = [] { return std::optional<std::string>(""); };
    return response;
  });
  Peer idle(*server), half(*server), stream(*server);
  half.Send("GET / HT");
  stream.Send("GET /stream HTTP/1.1\r\nHost: gw\r\n\r\n");
  stream.ReadUntil("\r\n\r\n");
  server.reset();
  EXPECT_EQ(idle.ReadToEnd(), "");
  EXPECT_EQ(half.ReadToEnd(), "");
}

TEST(HttpServerTest, PortInUseAndFilesThatAreNoCertificateSaySo) {
  const auto server = Serve(Hello);
  const auto second =
      HttpServer::Create({.address = tcp::endpoint(asio::ip::make_address(kLoopback), server->port())}, Hello);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  const TempDir dir;
  std::ofstream(dir / "nonsense") << "nonsense";
  const auto tls = HttpServer::Create({.address = tcp::endpoint(asio::ip::make_address(kLoopback), 0),
                                       .certificate_file = dir / "nonsense",
                                       .private_key_file = dir / "nonsense"},
                                      Hello);
  EXPECT_EQ(tls.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tls.status().message()), HasSubstr(dir / "nonsense"));
}

}  // namespace
}  // namespace holdfast::web
