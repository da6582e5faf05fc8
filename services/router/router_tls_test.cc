// The router behind TLS, with a real TLS client.
#include <openssl/ssl.h>

#include "services/router/router_fixture.h"
#include "services/router/tls_peer.h"

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kConnackAccepted("\x20\x02\x00\x00", 4);
const std::string kConnackNotAuthorized("\x20\x02\x00\x05", 4);

// As a client with a certificate does: the password is not there, or empty.
mqtt::Connect WithoutPassword(std::string_view device) {
  mqtt::Connect connect = DeviceConnect(device, /*clean_session=*/true);
  connect.has_password = false;
  connect.password = "";
  return connect;
}

class RouterTlsTest : public RouterTest {
 protected:
  RouterTlsTest() { options_.mqtts_address = "127.0.0.1:0"; }
  TlsPeer NewTlsPeer(TlsPeer::Options options = {}) { return TlsPeer(router_->mqtts_port(), std::move(options)); }
  TlsPeer::Options Showing(const TestCertificate& certificate) {
    return {.chain = {certificate.leaf, certificate.ca}, .key = &certificate.key};
  }
  std::vector<std::string> ChainThatAuthGot() {
    const auto request = auth_.request();
    return {request.certificate_chain().begin(), request.certificate_chain().end()};
  }
};

TEST_F(RouterTlsTest, ClientWithoutACertificateIsLetInByItsPassword) {
  Start();
  TlsPeer peer = NewTlsPeer();
  ASSERT_TRUE(peer.Handshake()) << peer.error();
  peer.Send(Bytes(DeviceConnect("dev1")));
  EXPECT_EQ(peer.Read(), kConnackAccepted);
  peer.Send(Telemetry("dev1", 1, "over TLS"));
  EXPECT_EQ(peer.Read(), Puback(1));
  EXPECT_THAT(store_.Bodies(), ElementsAre("over TLS"));

  TlsPeer nobody = NewTlsPeer();
  ASSERT_TRUE(nobody.Handshake()) << nobody.error();
  nobody.Send(Bytes(WithoutPassword("dev1")));
  EXPECT_EQ(nobody.Read(), kConnackNotAuthorized);
  EXPECT_TRUE(nobody.Closed());
  EXPECT_THAT(ChainThatAuthGot(), IsEmpty());
}

// IoT Hub MQTT contract, X.509: TLS lets any certificate through, auth judges it by the CONNECT.
TEST_F(RouterTlsTest, CertificateWithItsChainGoesToAuthLeafFirst) {
  Start();
  const TestCertificate known("dev1"), stranger("dev1");
  auth_.AddCertificate(Der(known.leaf));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPeer::Options options = Showing(known);
    options.version = version;
    TlsPeer peer = NewTlsPeer(options);
    ASSERT_TRUE(peer.Handshake()) << peer.error();
    peer.Send(Bytes(WithoutPassword("dev1")));
    EXPECT_EQ(peer.Read(), kConnackAccepted);
    EXPECT_THAT(ChainThatAuthGot(), ElementsAre(Der(known.leaf), Der(known.ca)));
    peer.Send(Telemetry("dev1", 1, "by certificate"));
    EXPECT_EQ(peer.Read(), Puback(1));
  }
  TlsPeer refused = NewTlsPeer(Showing(stranger));
  ASSERT_TRUE(refused.Handshake()) << refused.error();
  refused.Send(Bytes(WithoutPassword("dev1")));
  EXPECT_EQ(refused.Read(), kConnackNotAuthorized);
  EXPECT_TRUE(refused.Closed());
}

TEST_F(RouterTlsTest, PasswordWinsOverACertificate) {
  Start();
  const TestCertificate known("dev1");
  auth_.AddCertificate(Der(known.leaf));
  TlsPeer peer = NewTlsPeer(Showing(known));
  ASSERT_TRUE(peer.Handshake()) << peer.error();
  mqtt::Connect connect = DeviceConnect("dev1");
  connect.password = "bad";
  peer.Send(Bytes(connect));
  EXPECT_EQ(peer.Read(), kConnackNotAuthorized);
  EXPECT_THAT(ChainThatAuthGot(), IsEmpty());
}

// P12
TEST_F(RouterTlsTest, ChainAboveTheLimitIsRefusedWithoutAskingAuth) {
  Start();
  const TestCertificate known("dev1");
  auth_.AddCertificate(Der(known.leaf));
  TlsPeer::Options options = Showing(known);
  options.chain.resize(kChainCertificatesMax, known.ca);
  TlsPeer longest = NewTlsPeer(options);
  ASSERT_TRUE(longest.Handshake()) << longest.error();
  longest.Send(Bytes(WithoutPassword("dev1")));
  EXPECT_EQ(longest.Read(), kConnackAccepted);

  options.chain.push_back(known.ca);
  TlsPeer too_long = NewTlsPeer(options);
  ASSERT_TRUE(too_long.Handshake()) << too_long.error();
  too_long.Send(Bytes(WithoutPassword("dev1")));
  EXPECT_EQ(too_long.Read(), kConnackNotAuthorized);
  EXPECT_TRUE(too_long.Closed());
  EXPECT_EQ(auth_.asked("dev1"), 1u);
}

// The end of a certificate is the end of its session; the client comes back with what it has then.
TEST_F(RouterTlsTest, SessionOfACertificateEndsWithItsGrant) {
  auth_.SetValidFor(absl::Milliseconds(300));
  Start();
  const TestCertificate known("dev1");
  auth_.AddCertificate(Der(known.leaf));
  TlsPeer peer = NewTlsPeer(Showing(known));
  ASSERT_TRUE(peer.Handshake()) << peer.error();
  peer.Send(Bytes(WithoutPassword("dev1")));
  EXPECT_EQ(peer.Read(), kConnackAccepted);
  EXPECT_TRUE(peer.Closed());
}

// A resumed TLS session shows no certificate: so none is resumed, and who was somebody by a certificate is nobody
// without it.
TEST_F(RouterTlsTest, TlsSessionsAreNotResumed) {
  Start();
  const TestCertificate known("dev1");
  auth_.AddCertificate(Der(known.leaf));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPeer::Options options = Showing(known);
    options.version = version;
    TlsPeer first = NewTlsPeer(options);
    ASSERT_TRUE(first.Handshake()) << first.error();
    first.Send(Bytes(WithoutPassword("dev1")));
    EXPECT_EQ(first.Read(), kConnackAccepted);

    const auto session = first.session();
    TlsPeer second = NewTlsPeer({.version = version, .session = session.get()});
    ASSERT_TRUE(second.Handshake()) << second.error();
    EXPECT_FALSE(second.resumed());
    second.Send(Bytes(WithoutPassword("dev1")));
    EXPECT_EQ(second.Read(), kConnackNotAuthorized);
    EXPECT_THAT(ChainThatAuthGot(), IsEmpty());
  }
}

TEST_F(RouterTlsTest, ConnectInOnePieceWithTheEndOfTheHandshake) {
  Start();
  const TestCertificate known("dev1");
  auth_.AddCertificate(Der(known.leaf));
  TlsPeer::Options options = Showing(known);
  options.version = TLS1_3_VERSION;
  TlsPeer peer = NewTlsPeer(options);
  ASSERT_TRUE(peer.Handshake(Bytes(WithoutPassword("dev1")) + Telemetry("dev1", 1, "early"))) << peer.error();
  EXPECT_EQ(peer.Read(), kConnackAccepted);
  EXPECT_EQ(peer.Read(), Puback(1));
}

TEST_F(RouterTlsTest, NewServerCertificateDropsNoSession) {
  certificates_.SetRenewAfter(absl::Seconds(1));
  Start();
  TlsPeer old = NewTlsPeer();
  ASSERT_TRUE(old.Handshake()) << old.error();
  old.Send(Bytes(DeviceConnect("dev1")));
  EXPECT_EQ(old.Read(), kConnackAccepted);
  EXPECT_TRUE(Eventually([&] {
    TlsPeer next = NewTlsPeer();
    return next.Handshake() && next.server_fingerprint() != old.server_fingerprint();
  }));
  old.Send(Telemetry("dev1", 1, "still here"));
  EXPECT_EQ(old.Read(), Puback(1));
}

TEST_F(RouterTlsTest, Tls1_1IsRefused) {
  Start();
  TlsPeer peer = NewTlsPeer({.version = TLS1_1_VERSION});
  EXPECT_FALSE(peer.Handshake());
  EXPECT_EQ(peer.error(), "tlsv1 alert protocol version") << "by the router, not by the client";
}

}  // namespace
}  // namespace holdfast::router
