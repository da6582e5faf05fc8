#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/unique_fd.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/rpc/status.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::rpc {
namespace {

using ::testing::HasSubstr;

class EchoService final : public router::v1::Sessions::Service {
  grpc::Status CloseSession(grpc::ServerContext*, const router::v1::CloseSessionRequest* request,
                            router::v1::CloseSessionResponse*) override {
    return ToGrpc(absl::NotFoundError("no session of " + request->client_id()));
  }
};

absl::Status Call(Channels& channels) {
  auto stub = router::v1::Sessions::NewStub(channels.Pick());
  grpc::ClientContext context;
  SetDeadline(&context, absl::Seconds(10));
  context.set_wait_for_ready(true);
  router::v1::CloseSessionRequest request;
  request.set_client_id("dev1");
  router::v1::CloseSessionResponse response;
  return FromGrpc(stub->CloseSession(&context, request, &response));
}

std::unique_ptr<Server> Start(const std::string& run_dir, EchoService* service) {
  auto server = Server::Create({.run_dir = run_dir, .service = "router"}, {service});
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

TEST(RpcTest, CallReachesTheServiceAndItsErrorComesBack) {
  TempDir dir;
  EchoService service;
  auto server = Start(dir.path(), &service);
  Channels channels(dir.path(), "router");
  ASSERT_TRUE(channels.WaitUntilReady(absl::Seconds(10)).ok());
  const absl::Status status = Call(channels);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "no session of dev1");
}

TEST(RpcTest, SocketIsForOwnerAndGroupOnly) {
  TempDir dir;
  EchoService service;
  auto server = Start(dir.path(), &service);
  struct stat info {};
  ASSERT_EQ(::stat(server->socket_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
}

TEST(RpcTest, SocketOfALivingServerIsRefused) {
  TempDir dir;
  EchoService service;
  auto first = Start(dir.path(), &service);
  auto second = Server::Create({.run_dir = dir.path(), .service = "router"}, {&service});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use by a running process"));
  Channels channels(dir.path(), "router");
  EXPECT_EQ(Call(channels).code(), absl::StatusCode::kNotFound) << "the first one must go on serving";
}

TEST(RpcTest, SocketThatADeadProcessLeftIsReplaced) {
  TempDir dir;
  std::filesystem::create_directories(dir / "router");
  const std::string path = dir / "router/0.sock";
  ASSERT_EQ(::system(("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('" + path + "')\"").c_str()), 0);
  ASSERT_TRUE(std::filesystem::exists(path));
  EchoService service;
  auto server = Start(dir.path(), &service);
  ASSERT_NE(server, nullptr);
  Channels channels(dir.path(), "router");
  EXPECT_EQ(Call(channels).code(), absl::StatusCode::kNotFound);
}

// Whoever waits for the file to appear, and connects at once, must not be refused: a gRPC channel would back off.
TEST(RpcTest, SocketAppearsWhenItAnswers) {
  TempDir dir;
  EchoService service;
  const std::string path = dir / "router/0.sock";
  sockaddr_un address{.sun_family = AF_UNIX};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> refused = 0;
    std::thread client([&] {
      while (true) {
        const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
        if (errno == ECONNREFUSED) ++refused;
      }
    });
    auto server = Start(dir.path(), &service);
    client.join();
    ASSERT_EQ(refused, 0) << "round " << round;
    server->Stop();
  }
}

TEST(RpcTest, ChannelFindsAServerThatComesLaterAndOneThatComesBack) {
  TempDir dir;
  Channels channels(dir.path(), "router");
  EXPECT_EQ(channels.WaitUntilReady(absl::Milliseconds(10)).code(), absl::StatusCode::kDeadlineExceeded);
  EchoService service;
  auto server = Start(dir.path(), &service);
  EXPECT_EQ(Call(channels).code(), absl::StatusCode::kNotFound);
  server->Stop();
  server = Start(dir.path(), &service);
  EXPECT_EQ(Call(channels).code(), absl::StatusCode::kNotFound);
}

TEST(RpcTest, AllHasAChannelToEachInstance) {
  TempDir dir;
  EchoService service, other;
  const auto first = Server::Create({.run_dir = dir.path(), .service = "router", .instance = "0"}, {&service});
  const auto second = Server::Create({.run_dir = dir.path(), .service = "router", .instance = "1"}, {&other});
  Channels channels(dir.path(), "router");
  const auto all = channels.All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_NE(all[0], all[1]);
}

TEST(RpcTest, PathTooLongForASocketSaysSo) {
  EchoService service;
  auto server = Server::Create({.run_dir = "/tmp/" + std::string(120, 'x'), .service = "router"}, {&service});
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("shorter run_dir"));
}

TEST(BackoffTest, StaysBelowItsDoublingCap) {
  Backoff backoff(absl::Seconds(1), absl::Seconds(8));
  for (int attempt = 0; attempt < 100; ++attempt) {
    const absl::Duration wait = backoff.Next();
    EXPECT_GE(wait, absl::ZeroDuration());
    EXPECT_LE(wait, std::min(absl::Seconds(8), absl::Seconds(1) * (1 << std::min(attempt, 3))));
  }
}

}  // namespace
}  // namespace holdfast::rpc
