// The hub's name is asked of the configured DNS servers alone, and the address that worked last is kept for when they
// are away. The DNS server is dnsmasq.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

using uplink::v1::LINK_STATE_OFFLINE;
using uplink::v1::LINK_STATE_ONLINE;

constexpr char kHubName[] = "hub.holdfast.test";  // .test is nobody's (RFC 6761)

bool CanStartDnsmasq() {
  for (const char* path : {"/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"}) {
    if (::access(path, X_OK) == 0) return true;
  }
  return false;
}

class DnsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!CanStartDnsmasq()) GTEST_SKIP() << "NOT RUN: dnsmasq is not installed (dnsmasq-base)";
    ASSERT_TRUE(StartDns());
  }

  bool StartDns() {
    dns_.Start();
    return WaitFor(kPatience, [this] { return PortAnswers(dns_port_); });
  }

  Gateway::Options GatewayOptions() const {
    return {.upstream = fmt::format("mqtt://{}:{}", kHubName, hub_.port()),
            .config = {{"uplink.dns_servers", fmt::format("[\"127.0.0.1:{}\"]", dns_port_)},
                       {"uplink.resolve_timeout", "1"},
                       {"uplink.backoff_max", "1"}}};
  }

  TempDir dir_;
  const int dns_port_ = FreePort();
  Process dns_{{"/usr/sbin/dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                "--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.1", fmt::format("--port={}", dns_port_),
                fmt::format("--address=/{}/127.0.0.1", kHubName), "--user=", "--group="},
               dir_ / "dnsmasq.log"};
  ScriptedHub hub_;
};

TEST_F(DnsTest, NameIsAskedOfTheConfiguredServers) {
  Gateway gateway(GatewayOptions());
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 1, 50);
  EXPECT_TRUE(hub_.WaitForMessages(50, kPatience)) << "only dnsmasq knows " << kHubName;
}

TEST_F(DnsTest, WithoutDnsAtFirstTheGatewayComesUpWhenItAnswers) {
  ASSERT_TRUE(dns_.Stop());
  Gateway gateway(GatewayOptions());
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 1, 50);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(50));
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->reason().find("can't resolve") != std::string::npos;
  })) << gateway.UplinkStatus()->reason();
  ASSERT_TRUE(StartDns());
  EXPECT_TRUE(hub_.WaitForMessages(50, kPatience));
}

TEST_F(DnsTest, LastGoodAddressServesWhileDnsIsAwayAlsoAfterARestart) {
  Gateway gateway(GatewayOptions());
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 1, 50);
  ASSERT_TRUE(hub_.WaitForMessages(50, kPatience));
  ASSERT_TRUE(dns_.Stop());
  hub_.SetReachable(false);
  ASSERT_TRUE(gateway.WaitForLink(LINK_STATE_OFFLINE, kPatience));
  hub_.SetReachable(true);
  fleet.Allow(100);
  EXPECT_TRUE(hub_.WaitForMessages(100, kPatience)) << "the address is still in memory";

  gateway.KillAll();
  ASSERT_TRUE(gateway.Start());
  fleet.Allow(150);
  EXPECT_TRUE(hub_.WaitForMessages(150, kPatience)) << "the address is in the store";
  EXPECT_TRUE(gateway.WaitForLink(LINK_STATE_ONLINE, kPatience));
}

}  // namespace
}  // namespace holdfast::systest
