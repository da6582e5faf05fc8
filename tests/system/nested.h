// A gateway below a gateway below the hub: hubsim ← parent ← child ← devices, of the real binaries. The child knows the
// parent only: it connects there, and asks there who is below it.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"
#include "tests/system/gateway.h"
#include "tests/system/https_client.h"
#include "tests/system/hubsim.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"
#include "tests/system/tcp_proxy.h"
#include "tests/system/tls_device.h"

namespace holdfast::systest {

inline constexpr auto kAccepted = mqtt::ConnackCode::kAccepted;
inline constexpr auto kNotAuthorized = mqtt::ConnackCode::kNotAuthorized;
inline constexpr uint64_t kWindow = 4096;

class NestedTest : public testing::Test {
 protected:
  using Config = std::map<std::string, std::string>;

  NestedTest() {
    MakeCertificate();
    hub_.PutEdge("parent");
    hub_.PutEdge("child", "parent");
    hub_.PutLeaf("leaf", "child");
    hub_.PutModule("child", "sensor");
    hub_.PutLeaf("near", "parent");
    parent_ = MakeBelowTheHub("parent");
    way_.emplace(parent_.mqtts_port);
    child_ = MakeBelow(parent_, way_->port(), "child", {{"uplink.scope_refresh_interval", "\"1s\""}});
  }

  static std::string Quoted(const std::string& text) { return fmt::format("\"{}\"", text); }

  // A CA, and a certificate of it for the parent's name.
  void MakeCertificate() {
    const absl::Time now = absl::Now();
    const auto ca_key = pki::PrivateKey::Generate();
    const auto key = pki::PrivateKey::Generate();
    const auto ca = pki::MakeRootCa(*ca_key, "parent's CA", now);
    const auto certificate = pki::MakeServerCertificate(*key, {"localhost"}, *ca, *ca_key, now);
    WriteFile(dir_ / "ca.pem", ca->ToPem());
    WriteFile(dir_ / "server.pem", certificate->ToPem() + ca->ToPem());
    WriteFile(dir_ / "server.key", key->ToPem());
  }

  // A gateway that others may be below.
  struct Layer {
    int mqtts_port = FreePort();
    int https_port = FreePort();
    std::unique_ptr<Gateway> gateway;
    Gateway* operator->() const { return gateway.get(); }
    Gateway& operator*() const { return *gateway; }
  };
  Layer MakeBelowTheHub(const std::string& id) {
    return Make(id, hub_.mqtts_port(), hub_.rest_url(), hub_.ca_file(), {});
  }
  // `mqtts_port`: the way to the parent.
  Layer MakeBelow(const Layer& parent, int mqtts_port, const std::string& id, Config config) {
    return Make(id, mqtts_port, fmt::format("https://localhost:{}", parent.https_port), dir_ / "ca.pem",
                std::move(config));
  }
  Layer Make(const std::string& id, int upstream_port, const std::string& rest_url, const std::string& ca_file,
             Config config) {
    Layer layer;
    const std::string credential = dir_ / (id + "_connection_string");
    WriteFile(credential, hub_.ConnectionString(id + "/$edgeHub") + "\n");
    std::filesystem::permissions(credential, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    config["auth.identities_file"] = "\"\"";
    config["auth.hub_connection_string_file"] = Quoted(credential);
    config["router.mqtts_address"] = Quoted(fmt::format("127.0.0.1:{}", layer.mqtts_port));
    config["router.https_address"] = Quoted(fmt::format("127.0.0.1:{}", layer.https_port));
    config["router.certificate_file"] = Quoted(dir_ / "server.pem");
    config["router.private_key_file"] = Quoted(dir_ / "server.key");
    config["uplink.hub_rest_url"] = Quoted(rest_url);
    config["uplink.ca_file"] = Quoted(ca_file);
    config["uplink.ack_timeout"] = "\"1s\"";
    config["uplink.ping_timeout"] = "\"1s\"";
    config["uplink.keep_alive"] = "\"2s\"";
    config["uplink.backoff_max"] = "\"2s\"";
    layer.gateway =
        std::make_unique<Gateway>(Gateway::Options{.devices = {},
                                                   .upstream = fmt::format("iothub://localhost:{}", upstream_port),
                                                   .config = std::move(config),
                                                   .identities = false});
    return layer;
  }

  static bool StartOnline(Gateway& gateway) {
    return gateway.Start() && gateway.WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience);
  }
  void Begin() {
    ASSERT_TRUE(StartOnline(*parent_));
    ASSERT_TRUE(StartOnline(*child_));
    ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*child_) > 0; }));
  }
  static uint32_t Identities(const Gateway& gateway) {
    const auto status = gateway.UplinkStatus();
    return status.ok() ? status->scope().identities() : 0;
  }
  void CutHub() {
    hub_.SetFault({{"kind", "refuse"}});
    ASSERT_TRUE(parent_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  }

  std::optional<mqtt::ConnackCode> Login(const Gateway& at, const std::string& id) {
    return at.TryLogin(id, SasToken(hub_.hostname(), id, keys_.contains(id) ? keys_.at(id) : hub_.Key(id)));
  }
  Publisher::Options Device(const std::string& id, uint64_t count = UINT64_MAX) const {
    return {.port = child_->mqtt_port(),
            .device = id,
            .key = hub_.Key(id),
            .hub_hostname = hub_.hostname(),
            .count = count};
  }
  // A device at the child that does what the test says.
  std::unique_ptr<TlsDevice> Client(const std::string& id) { return Client(id, child_->mqtt_port()); }
  std::unique_ptr<TlsDevice> Client(const std::string& id, int port) {
    mqtt::Client::Options options;
    options.host = "127.0.0.1";
    options.port = static_cast<uint16_t>(port);
    options.client_id = id;
    options.user_name = hub_.hostname() + "/" + id + "/?api-version=2021-04-12";
    options.password = SasToken(hub_.hostname(), id, hub_.Key(id));
    return std::make_unique<TlsDevice>(std::move(options));
  }
  // The first message that came on such a topic with such a text.
  static std::optional<TlsDevice::Message> WaitForTopic(const TlsDevice& device, std::string_view prefix,
                                                        std::string_view text = "") {
    std::optional<TlsDevice::Message> found;
    WaitFor(kPatience, [&] {
      for (const TlsDevice::Message& message : device.received()) {
        if (message.topic.starts_with(prefix) && message.payload.find(text) != std::string::npos) found = message;
        if (found) return true;
      }
      return false;
    });
    return found;
  }
  std::string EdgeHubToken(const std::string& gateway) {
    return SasToken(hub_.hostname(), gateway, hub_.Key(gateway + "/$edgeHub"), 3600, "$edgeHub");
  }
  // A CONNECT at the parent with an auth-chain, by the child's token.
  std::optional<mqtt::ConnackCode> OnBehalf(const std::string& id, const std::string& chain) {
    MqttStream stream = MqttStream::Connect(parent_->mqtt_port());
    const std::string user = fmt::format("{}/{}/?api-version=2021-04-12&auth-chain={}", hub_.hostname(), id, chain);
    const std::string password = EdgeHubToken("child");
    mqtt::Connect connect;
    connect.client_id = id;
    connect.clean_session = true;
    connect.keep_alive_seconds = 60;
    connect.has_user_name = connect.has_password = true;
    connect.user_name = user;
    connect.password = password;
    return stream.Login(connect);
  }
  // A request to the parent's scope API.
  HttpsAnswer AskParent(const std::string& gateway, const std::string& what, const nlohmann::json& body,
                        const std::string& authorization, const std::string& module = "$edgeHub") {
    const auto answer =
        Ask({.port = parent_.https_port,
             .ca_file = dir_ / "ca.pem",
             .method = "POST",
             .target = fmt::format("/devices/{}/modules/{}/{}?api-version=2020-06-30-preview", gateway, module, what),
             .authorization = authorization,
             .body = body.dump()});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(HttpsAnswer());
  }

  // Telemetry as it came to the hub; each message must have come as its sender's, by the word of the gateway below the
  // hub.
  std::vector<Arrival> Arrivals(const std::string& top = "parent") {
    std::vector<Arrival> arrivals;
    for (const HubEvent& event : hub_.Events()) {
      Arrival arrival;
      if (!ParsePayload(event.body, &arrival)) continue;
      EXPECT_EQ(event.actor, top);
      arrival.topic = event.module_id.empty() ? fmt::format("devices/{}/", event.device_id)
                                              : fmt::format("devices/{}/{}/", event.device_id, event.module_id);
      arrivals.push_back(std::move(arrival));
    }
    return arrivals;
  }
  void ExpectAll(const std::vector<Publisher*>& publishers, uint64_t duplicates_max) {
    ASSERT_TRUE(child_->WaitUntilDrained(kPatience * 2));
    ASSERT_TRUE(parent_->WaitUntilDrained(kPatience * 2));
    std::map<std::string, uint64_t> acknowledged;
    for (Publisher* publisher : publishers) acknowledged[publisher->device()] = publisher->acknowledged();
    const DeliveryReport report = Compare(acknowledged, Arrivals());
    EXPECT_GT(report.acknowledged, 0u) << report.Text();
    EXPECT_EQ(report.lost, 0u) << report.Text();
    EXPECT_EQ(report.out_of_order, 0u) << report.Text();
    EXPECT_LE(report.duplicates, duplicates_max) << report.Text();
    EXPECT_EQ(report.wrong_topic, 0u) << report.Text();
  }

  Hubsim hub_;
  const TempDir dir_;
  std::optional<TcpProxy> way_;  // of the child's MQTT to the parent
  std::map<std::string, std::string> keys_;
  Layer parent_;
  Layer child_;
};

}  // namespace holdfast::systest
