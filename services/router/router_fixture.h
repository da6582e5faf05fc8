// A router under test, with its store and its auth on real sockets.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/notification.h"
#include "lib/rpc/server.h"
#include "lib/testing/temp_dir.h"
#include "services/router/fake_store.h"
#include "services/router/router.h"
#include "services/router/router_test_peers.h"

namespace holdfast::router {

MATCHER_P(CodeIs, code, "") {
  return arg.code == code;
}
inline constexpr auto kAccepted = mqtt::ConnackCode::kAccepted;

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() { options_ = {.mqtts_address = "", .mqtt_address = "127.0.0.1:0", .io_threads = 2}; }

  ~RouterTest() override {
    store_.Hold(false);
    store_.HoldWrites(false);
    store_.HoldGets(false);
    if (router_ != nullptr) router_->Stop();
    identities_.Stop();
  }

  void Start() {
    StartAuth();
    store_server_ = Serve("store", store_.Services());
    metrics_ = *Metrics::Create("");
    StartRouter();
  }
  void StartAuth() { auth_server_ = Serve("auth", {&auth_, &identities_, &certificates_}); }
  void StartRouter() {
    router_.reset();
    auto router = Router::Create(
        options_, {.auth = auth_channels_, .store = store_channels_, .metrics = *metrics_, .clock = *Clock::System()});
    ASSERT_TRUE(router.ok()) << router.status();
    router_ = *std::move(router);
    absl::Notification ready;
    router_->Start([&ready] { ready.Notify(); });
    ASSERT_TRUE(auth_channels_.WaitUntilReady(absl::Seconds(10)).ok());
    ASSERT_TRUE(ready.WaitForNotificationWithTimeout(absl::Seconds(10)));
  }
  std::unique_ptr<rpc::Server> Serve(const std::string& service, const std::vector<grpc::Service*>& services) {
    auto server = rpc::Server::Create({.run_dir = dir_.path(), .service = service}, services);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  Peer NewPeer() { return Peer(router_->mqtt_port()); }
  Peer Connected(std::string_view device, bool clean_session = false) {
    Peer peer = NewPeer();
    EXPECT_THAT(peer.Connect(DeviceConnect(device, clean_session)), ::testing::Optional(CodeIs(kAccepted)));
    return peer;
  }

  TempDir dir_;
  RouterOptions options_;
  FakeStore store_;
  FakeAuth auth_;
  FakeIdentities identities_;
  FakeCertificates certificates_;
  std::unique_ptr<rpc::Server> store_server_;
  std::unique_ptr<rpc::Server> auth_server_;
  rpc::Channels auth_channels_{dir_.path(), "auth"};
  rpc::Channels store_channels_{dir_.path(), "store"};
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Router> router_;
};

}  // namespace holdfast::router
