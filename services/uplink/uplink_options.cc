#include "services/uplink/uplink_options.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "lib/base/status.h"
#include "services/uplink/resolver.h"

namespace holdfast::uplink {
namespace {

constexpr uint16_t kPort = 1883;
constexpr uint16_t kTlsPort = 8883;

std::chrono::milliseconds Milliseconds(absl::Duration d) {
  return absl::ToChronoMilliseconds(d);
}

absl::StatusOr<std::string> ReadPasswordFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) {
    return absl::FailedPreconditionError(fmt::format("can't read the password file {} ([uplink] password_file)", path));
  }
  std::string password = text.str();
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) password.pop_back();
  return password;
}

// What is written for durations and counts, before it goes to where it is used.
struct Numbers {
  int64_t inflight_count_max = 4096;
  int64_t inflight_bytes_max = 4 << 20;
  int64_t prefetch_bytes_max = 8 << 20;
  int64_t packet_bytes_max = 1 << 20;
  absl::Duration keep_alive = absl::Seconds(60);
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration connack_timeout = absl::Seconds(10);
};

void ReadNumbers(ConfigSection* s, Numbers* n, UplinkOptions* out) {
  Connectivity::Options& c = out->uplink.link.connectivity;
  s->Read("inflight_count_max", &n->inflight_count_max, 1, 32'768);
  s->Read("inflight_bytes_max", &n->inflight_bytes_max, 1 << 10, 256 << 20);
  s->Read("prefetch_bytes_max", &n->prefetch_bytes_max, 64 << 10, 256 << 20);
  s->Read("packet_bytes_max", &n->packet_bytes_max, 1 << 10, 256 << 20);
  s->Read("keep_alive", &n->keep_alive, absl::Seconds(1), absl::Seconds(65'535));
  s->Read("connect_timeout", &n->connect_timeout, absl::Milliseconds(100), absl::Minutes(5));
  s->Read("connack_timeout", &n->connack_timeout, absl::Milliseconds(100), absl::Minutes(5));
  s->Read("resolve_timeout", &out->uplink.link.resolve_timeout, absl::Milliseconds(100), absl::Minutes(5));
  s->Read("ack_timeout", &c.ack_timeout, absl::Milliseconds(100), absl::Hours(1));
  s->Read("ping_timeout", &c.ping_timeout, absl::Milliseconds(100), absl::Minutes(5));
  s->Read("stall_timeout", &c.stall_timeout, absl::Milliseconds(100), absl::Hours(24));
  s->Read("probe_interval", &c.probe_interval, absl::Milliseconds(50), absl::Minutes(1));
  s->Read("backoff_min", &c.backoff_min, absl::Milliseconds(10), absl::Minutes(1));
  s->Read("backoff_max", &c.backoff_max, absl::Milliseconds(10), absl::Hours(1));
}

void Apply(const Numbers& n, Uplink::Options* out) {
  out->window.count_max = static_cast<uint32_t>(n.inflight_count_max);
  out->window.bytes_max = static_cast<uint64_t>(n.inflight_bytes_max);
  out->window.packet_bytes_max = static_cast<uint64_t>(n.packet_bytes_max);
  out->feed.prefetch_bytes_max = static_cast<uint64_t>(n.prefetch_bytes_max);
  mqtt::Client::Options& client = out->link.client;
  client.keep_alive = absl::ToChronoSeconds(n.keep_alive);
  client.connect_timeout = Milliseconds(n.connect_timeout);
  client.tls_timeout = Milliseconds(n.connack_timeout);
  client.connack_timeout = Milliseconds(n.connack_timeout);
  client.ping_timeout = Milliseconds(out->link.connectivity.ping_timeout);
  client.user_timeout = Milliseconds(out->link.connectivity.ack_timeout + out->link.connectivity.ping_timeout);
}

}  // namespace

absl::StatusOr<UpstreamUrl> ParseUpstreamUrl(std::string_view url) {
  UpstreamUrl result;
  if (url.empty()) return result;
  const auto bad = [url] {
    return absl::InvalidArgumentError(fmt::format(
        "[uplink] upstream \"{}\": write iothub://HOST[:PORT], mqtts://HOST[:PORT] or mqtt://HOST[:PORT]", url));
  };
  std::string_view rest = url;
  const std::string_view scheme = rest.substr(0, rest.find("://"));
  result.is_hub = scheme == "iothub";
  result.tls = result.is_hub || scheme == "mqtts";
  if ((!result.tls && scheme != "mqtt") || scheme.size() == rest.size()) return bad();
  rest.remove_prefix(scheme.size() + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  result.port = result.tls ? kTlsPort : kPort;
  size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) return bad();
    result.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    colon = rest.empty() ? std::string_view::npos : 0;
    if (!rest.empty() && rest[0] != ':') return bad();
  } else {
    result.host = rest.substr(0, colon);
  }
  if (colon != std::string_view::npos) {
    const std::string_view digits = rest.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), result.port);
    if (error != std::errc() || end != digits.data() + digits.size() || result.port == 0) return bad();
  }
  if (result.host.empty() || result.host.find_first_of("/@?# ") != std::string::npos) return bad();
  return result;
}

namespace {

// Keys of kind iothub alone.
struct HubKeys {
  std::string rest_url;
  std::string scope_api = "nested";
  int64_t page_size = 10;
  int64_t connections_max = 1000;
  int64_t connects_per_second = 50;
  int64_t identity_inflight_max = 256;
  int64_t message_refusals_max = 10;
  int64_t twin_requests_per_second = 50;
  int64_t twin_errands_max = 16;
  int64_t methods_max = 256;
  int64_t c2d_bytes_max = 16 << 20;
};

void ReadHubKeys(ConfigSection* s, HubKeys* keys, HubUpstream::Options* hub) {
  s->Read("hub_rest_url", &keys->rest_url);
  s->Read("gateway_device_id", &hub->device_id);
  s->Read("scope_api", &keys->scope_api);
  s->Read("scope_page_size", &keys->page_size, 1, 1000);
  s->Read("scope_refresh_interval", &hub->sync.refresh_interval, absl::Seconds(1), absl::Hours(24 * 7));
  s->Read("rest_timeout", &hub->sync.rest.call_timeout, absl::Seconds(1), absl::Minutes(10));
  s->Read("token_lifetime", &hub->token_lifetime, absl::Minutes(1), absl::Hours(24));
  s->Read("upstream_connections_max", &keys->connections_max, 2, 100'000);
  s->Read("upstream_connects_per_second", &keys->connects_per_second, 1, 10'000);
  s->Read("upstream_idle_timeout", &hub->plan.idle_timeout, absl::Seconds(1), absl::Hours(24));
  s->Read("identity_inflight_max", &keys->identity_inflight_max, 1, 32'768);
  s->Read("message_refusals_max", &keys->message_refusals_max, 3, 1'000'000);
  s->Read("upstream_held_turn", &hub->plan.held_turn, absl::Seconds(1), absl::Hours(24));
  s->Read("twin_requests_per_second", &keys->twin_requests_per_second, 1, 10'000);
  s->Read("twin_refresh_interval", &hub->exchange.wants.refresh_interval, absl::Seconds(1), absl::Hours(24 * 7));
  s->Read("twin_errands_max", &keys->twin_errands_max, 1, 1000);
  s->Read("methods_max", &keys->methods_max, 1, 10'000);
  s->Read("c2d_bytes_max", &keys->c2d_bytes_max, 128 << 10, 1 << 30);
}

// What kind iothub takes from the keys of both kinds, and its own.
absl::Status FinishHub(const HubKeys& keys, const UpstreamUrl& url, const GatewayOptions& gateway,
                       const UplinkOptions& common, HubUpstream::Options* hub) {
  const mqtt::Client::Options& client = common.uplink.link.client;
  hub->client = client;
  hub->connectivity = common.uplink.link.connectivity;
  hub->hub_hostname = gateway.hub_hostname;
  hub->plan.connections_max = static_cast<uint32_t>(keys.connections_max - 1);  // one is the link's
  hub->plan.connects_per_second = static_cast<double>(keys.connects_per_second);
  hub->plan.backoff_min = hub->connectivity.backoff_min;
  hub->plan.backoff_max = hub->connectivity.backoff_max;
  hub->pace.window_max = static_cast<uint32_t>(keys.identity_inflight_max);
  hub->message_refusals_max = static_cast<int>(keys.message_refusals_max);
  hub->exchange.twin.backoff_min = hub->connectivity.backoff_min;
  hub->exchange.twin.backoff_max = hub->connectivity.backoff_max;
  hub->exchange.twin_requests_per_second = static_cast<double>(keys.twin_requests_per_second);
  hub->exchange.wants.errands_max = static_cast<size_t>(keys.twin_errands_max);
  hub->exchange.methods.calls_max = static_cast<size_t>(keys.methods_max);
  hub->exchange.c2d.bytes_max = static_cast<size_t>(keys.c2d_bytes_max);
  if (keys.scope_api != "nested" && keys.scope_api != "flat") {
    return absl::InvalidArgumentError("[uplink] scope_api must be \"nested\" or \"flat\"");
  }
  hub->sync.api = keys.scope_api == "flat" ? ScopeApi::kFlat : ScopeApi::kNested;
  hub->sync.page_size = static_cast<uint32_t>(keys.page_size);
  RestClient::Options& rest = hub->sync.rest;
  const std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  rest.url = keys.rest_url.empty() ? fmt::format("https://{}:443", host) : keys.rest_url;
  RETURN_IF_ERROR(RestClient::CheckUrl(rest.url));
  rest.ca_file = client.tls_files.ca_file;
  rest.cert_file = client.tls_files.cert_file;
  rest.key_file = client.tls_files.key_file;
  rest.dns_servers = common.uplink.link.dns_servers;
  rest.resolve_timeout = common.uplink.link.resolve_timeout;
  rest.connect_timeout = absl::FromChrono(client.connect_timeout);
  if (!client.user_name.empty()) {
    return absl::InvalidArgumentError(
        "[uplink] username and password_file are for kind mqtt; at an iothub the gateway logs in with a token that "
        "auth "
        "signs, or with client_cert_file and gateway_device_id");
  }
  if (client.tls_files.cert_file.empty() != hub->device_id.empty()) {
    return absl::InvalidArgumentError("[uplink] client_cert_file and gateway_device_id belong together");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UplinkOptions> ReadUplinkOptions(const ConfigFile& file, const GatewayOptions& gateway) {
  UplinkOptions out;
  mqtt::Client::Options& client = out.uplink.link.client;
  client.client_id = "holdfast-" + gateway.hostname;
  std::string password_file;
  Numbers numbers;
  HubKeys hub_keys;
  HubUpstream::Options hub;
  ConfigSection s = file.Section("uplink");
  s.Read("upstream", &out.uplink.upstream);
  s.Read("ca_file", &client.tls_files.ca_file);
  s.Read("client_cert_file", &client.tls_files.cert_file);
  s.Read("client_key_file", &client.tls_files.key_file);
  s.Read("username", &client.user_name);
  s.Read("password_file", &password_file);
  s.Read("client_id", &client.client_id);
  s.Read("clean_session", &client.clean_session);
  s.Read("topic_template", &out.topic_template);
  s.Read("module_topic_template", &out.module_topic_template);
  s.Read("dns_servers", &out.uplink.link.dns_servers);
  s.Read("metrics_address", &out.metrics_address);
  ReadNumbers(&s, &numbers, &out);
  ReadHubKeys(&s, &hub_keys, &hub);
  RETURN_IF_ERROR(s.Finish());
  Apply(numbers, &out.uplink);

  if (out.uplink.link.connectivity.backoff_max < out.uplink.link.connectivity.backoff_min) {
    return absl::InvalidArgumentError("[uplink] backoff_max is below backoff_min");
  }
  ASSIGN_OR_RETURN(const UpstreamUrl url, ParseUpstreamUrl(out.uplink.upstream));
  client.host = url.host;
  client.port = url.port;
  client.tls = url.tls;
  if (!password_file.empty()) {
    if (client.user_name.empty())
      return absl::InvalidArgumentError("[uplink] password_file needs username (MQTT-3.1.2-22)");
    ASSIGN_OR_RETURN(client.password, ReadPasswordFile(password_file));
  }
  if (url.tls) RETURN_IF_ERROR(mqtt::CheckTlsFiles(client.tls_files));
  RETURN_IF_ERROR(CheckDnsServers(out.uplink.link.dns_servers));
  if (!url.host.empty()) out.uplink.kind = url.is_hub ? "iothub" : "mqtt";
  if (url.is_hub) {
    RETURN_IF_ERROR(FinishHub(hub_keys, url, gateway, out, &hub));
    // The hub keeps what it has for an identity, as it does for devices (IoT Hub contract: CONNECT).
    client.clean_session = hub.client.clean_session = false;
    out.uplink.link.login_comes_later = true;
    out.uplink.spread = Window::Spread::kByIdentity;
    out.topic_template = kDeviceTopic;
    out.module_topic_template = kModuleTopic;
    out.hub = std::move(hub);
  }
  return out;
}

}  // namespace holdfast::uplink
