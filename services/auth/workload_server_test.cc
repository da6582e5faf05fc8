// The workload API on its real sockets, asked by Beast's own client.
#include "services/auth/workload_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>
#include <functional>

#include "absl/time/clock.h"
#include "services/auth/workload_connection.h"
#include "services/auth/workload_fixture.h"

namespace holdfast::auth {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using ::testing::HasSubstr;
using Local = asio::local::stream_protocol;
using Json = nlohmann::json;

bool Eventually(const std::function<bool()>& condition) {
  for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end;
       absl::SleepFor(absl::Milliseconds(5))) {
    if (condition()) return true;
  }
  return condition();
}

// One connection of a module.
class Client {
 public:
  explicit Client(const std::string& path) { socket_.connect(Local::endpoint(path), error_); }

  bool is_connected() const { return !error_; }
  void Write(std::string_view bytes) { asio::write(socket_, asio::buffer(bytes.data(), bytes.size()), error_); }
  http::response<http::string_body> Read() {
    http::response<http::string_body> response;
    http::read(socket_, buffer_, response, error_);
    if (error_) response.result(0u);
    return response;
  }
  http::response<http::string_body> Send(http::verb method, const std::string& target, const std::string& body = "") {
    http::request<http::string_body> request{method, target, 11, body};
    request.set(http::field::host, "localhost");
    request.prepare_payload();
    http::write(socket_, request, error_);
    return Read();
  }
  bool IsClosedByPeer() {
    char byte = 0;
    asio::read(socket_, asio::buffer(&byte, 1), error_);
    return error_ == asio::error::eof || error_ == asio::error::connection_reset;
  }

 private:
  asio::io_context io_;
  Local::socket socket_{io_};
  boost::beast::flat_buffer buffer_;
  boost::system::error_code error_;
};

class WorkloadServerTest : public ::testing::Test {
 protected:
  WorkloadServerTest() { gateway_.Load(); }

  std::unique_ptr<WorkloadServer> Start(absl::Duration timeout = WorkloadServer::kTimeout) {
    auto server = WorkloadServer::Create({.run_dir = run_.path(), .modules = {"mod1", "mod2"}, .timeout = timeout},
                                         gateway_.api_, *metrics_);
    EXPECT_TRUE(server.ok()) << server.status();
    return server.ok() ? *std::move(server) : nullptr;
  }
  std::string Socket(const std::string& module = "mod1") { return WorkloadSocketPath(run_.path(), module); }
  static unsigned Mode(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
  }
  unsigned Sign(const std::string& socket_of, const std::string& url_of) {
    const Json body = {{"keyId", "primary"}, {"algo", "HMACSHA256"}, {"data", "eA=="}};
    return Client(Socket(socket_of)).Send(http::verb::post, ModulePath(url_of, "/sign"), body.dump()).result_int();
  }
  double Counted(const std::string& endpoint, const std::string& status) {
    return metrics_
        ->Counter("holdfast_auth_workload_requests_total", "Requests of modules to the workload API",
                  {{"endpoint", endpoint}, {"status", status}})
        .Value();
  }

  TempDir run_;
  WorkloadTestGateway gateway_;
  const std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  const std::string trust_bundle_ = std::string("/trust-bundle") + kWorkloadQuery;
};

TEST_F(WorkloadServerTest, EachModuleHasItsOwnSocketAndOnlyItsOwnKey) {
  auto server = Start();
  EXPECT_EQ(Mode(Socket()), 0660u);
  EXPECT_EQ(Mode(std::filesystem::path(Socket()).parent_path()), 0750u);
  EXPECT_EQ(Sign("mod1", "mod1"), 200u);
  EXPECT_EQ(Sign("mod2", "mod2"), 200u);
  EXPECT_EQ(Sign("mod1", "mod2"), 403u);
  EXPECT_EQ(Sign("mod2", "mod1"), 403u);
  EXPECT_EQ(Counted("sign", "200"), 2);
  EXPECT_EQ(Counted("sign", "403"), 2);
}

TEST_F(WorkloadServerTest, ManyRequestsOnOneConnection) {
  auto server = Start();
  Client client(Socket());
  for (int i = 0; i < 100; ++i) {
    const auto response = client.Send(http::verb::get, trust_bundle_);
    ASSERT_EQ(response.result_int(), 200u) << i;
    EXPECT_EQ(response[http::field::content_type], "application/json");
    EXPECT_EQ(Json::parse(response.body())["certificate"], *gateway_.issuer_.TrustBundle());
  }
  client.Write("GET " + trust_bundle_ + " HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Read().result_int(), 200u);
  EXPECT_EQ(client.Read().result_int(), 404u);
}

TEST_F(WorkloadServerTest, ErrorsHaveTheirHeaders) {
  auto server = Start();
  Client client(Socket());
  const auto not_allowed = client.Send(http::verb::put, ModulePath("mod1", "/sign"));
  EXPECT_EQ(not_allowed.result_int(), 405u);
  EXPECT_EQ(not_allowed[http::field::allow], "POST");
  gateway_.device_id_.clear();
  const auto unavailable = client.Send(http::verb::post, ModulePath("mod1", "/sign"), "{}");
  EXPECT_EQ(unavailable.result_int(), 503u);
  EXPECT_EQ(unavailable[http::field::retry_after], "1");
  EXPECT_TRUE(Json::parse(unavailable.body()).contains("message"));
}

TEST_F(WorkloadServerTest, TooLargeAndMalformedAreAnsweredAndCutOff) {
  auto server = Start();
  const struct {
    std::string bytes;
    unsigned status;
  } cases[] = {
      {"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n" + std::string(1048577, 'x'), 413},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n180000\r\n" + std::string(0x180000, 'x'), 413},
      {"GET / HTTP/1.1\r\nX: " + std::string(kWorkloadHeaderBytesMax, 'x') + "\r\n\r\n", 431},
      {"\x16\x03\x01 this is no HTTP\r\n\r\n", 400},
      {"GET / HTTP/9.9\r\n\r\n", 400},
  };
  for (const auto& c : cases) {
    Client client(Socket());
    client.Write(c.bytes);
    const auto response = client.Read();
    EXPECT_EQ(response.result_int(), c.status) << c.bytes.substr(0, 60);
    EXPECT_TRUE(Json::parse(response.body(), nullptr, false).contains("message")) << response.body();
    EXPECT_TRUE(client.IsClosedByPeer());
  }
  Client largest(Socket());
  EXPECT_EQ(
      largest.Send(http::verb::post, ModulePath("mod1", "/sign"), std::string(kWorkloadBodyBytesMax, ' ')).result_int(),
      400u)
      << "taken, and no JSON";
}

TEST_F(WorkloadServerTest, SilentPeersAreClosed) {
  auto server = Start(absl::Milliseconds(50));
  Client says_nothing(Socket());
  EXPECT_TRUE(says_nothing.IsClosedByPeer());
  Client stops_halfway(Socket());
  stops_halfway.Write("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nx");
  EXPECT_TRUE(stops_halfway.IsClosedByPeer());
}

// P12
TEST_F(WorkloadServerTest, ConnectionsOverTheLimitWaitForTheirTurn) {
  auto server = Start();
  std::vector<std::unique_ptr<Client>> open;
  for (size_t i = 0; i < WorkloadServer::kConnectionsMax; ++i) {
    open.push_back(std::make_unique<Client>(Socket()));
    ASSERT_EQ(open.back()->Send(http::verb::get, trust_bundle_).result_int(), 200u);
  }
  Client waits(Socket());
  ASSERT_TRUE(waits.is_connected());
  waits.Write("GET " + trust_bundle_ + " HTTP/1.1\r\n\r\n");
  EXPECT_EQ(Sign("mod2", "mod2"), 200u) << "another module does not notice";
  EXPECT_EQ(Counted("trust_bundle", "200"), WorkloadServer::kConnectionsMax);
  open.pop_back();
  EXPECT_EQ(waits.Read().result_int(), 200u);
}

TEST_F(WorkloadServerTest, DeadProcessSocketIsReplacedALivingOneIsNot) {
  std::filesystem::create_directories(std::filesystem::path(Socket()).parent_path());
  {
    asio::io_context io;
    Local::acceptor dead(io, Local::endpoint(Socket()));  // leaves its file behind
  }
  ASSERT_FALSE(Client(Socket()).is_connected());
  auto first = Start();
  EXPECT_EQ(Sign("mod1", "mod1"), 200u);
  auto second = Start();  // another instance of auth
  Client client(Socket());
  EXPECT_EQ(client.Send(http::verb::get, trust_bundle_).result_int(), 200u);
  first->Stop();
  EXPECT_TRUE(client.IsClosedByPeer());
  EXPECT_TRUE(Eventually([&] { return Client(Socket()).is_connected() && Sign("mod1", "mod1") == 200; }))
      << "the second one takes over";
  second->Stop();
  EXPECT_FALSE(std::filesystem::exists(Socket()));
}

TEST_F(WorkloadServerTest, WithoutModulesNothingIsMade) {
  auto server = WorkloadServer::Create({.run_dir = run_.path(), .modules = {}}, gateway_.api_, *metrics_);
  ASSERT_TRUE(server.ok());
  EXPECT_TRUE(std::filesystem::is_empty(run_.path()));
}

TEST(WorkloadModuleTest, IdsThatAFolderOrAUriCanNotCarryAreRefused) {
  for (const char* good : {"mod1", "$edgeHub", "a.b-c_d"}) EXPECT_TRUE(CheckWorkloadModule("/run", good).ok()) << good;
  for (const char* bad : {"", ".", "..", "a/b", "../mod1", "a%b", "a#b", "a?b", "a:b", "a,b", "~lock"}) {
    EXPECT_EQ(CheckWorkloadModule("/run", bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  const absl::Status too_long = CheckWorkloadModule("/" + std::string(100, 'x'), "mod1");
  EXPECT_THAT(std::string(too_long.message()), HasSubstr("shorter run_dir"));
}

}  // namespace
}  // namespace holdfast::auth
