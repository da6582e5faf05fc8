#include "services/router/router_options.h"

#include "lib/base/status.h"

namespace holdfast::router {

absl::StatusOr<RouterOptions> ReadRouterOptions(const ConfigFile& file) {
  RouterOptions o;
  ConfigSection s = file.Section("router");
  s.Read("mqtts_address", &o.mqtts_address);
  s.Read("mqtt_address", &o.mqtt_address);
  s.Read("https_address", &o.https_address);
  s.Read("method_rules", &o.method_rules);
  s.Read("plain_mqtt_anywhere", &o.plain_mqtt_anywhere);
  s.Read("share_ports", &o.share_ports);
  s.Read("certificate_file", &o.certificate_file);
  s.Read("private_key_file", &o.private_key_file);
  s.Read("io_threads", &o.io_threads, 0, 64);
  s.Read("connections_max", &o.connections_max, 1, 1'000'000);
  s.Read("connect_timeout", &o.connect_timeout, absl::Milliseconds(100), absl::Minutes(10));
  s.Read("auth_timeout", &o.auth_timeout, absl::Milliseconds(100), absl::Minutes(2));
  s.Read("failed_connects_burst", &o.failed_connects_burst, 1, 1'000'000);
  s.Read("failed_connects_per_second", &o.failed_connects_per_second, 1, 1'000'000);
  s.Read("keep_alive_max", &o.keep_alive_max, absl::Seconds(1), absl::Hours(18));
  s.Read("packet_bytes_max", &o.packet_bytes_max, 1024, 2 << 20);
  s.Read("session_inflight_max", &o.session_inflight_max, 1, 65'535);
  s.Read("output_bytes_max", &o.output_bytes_max, 4096, 64 << 20);
  s.Read("pending_bytes_max", &o.pending_bytes_max, 64 << 10, int64_t{1} << 30);
  s.Read("subscriptions_max", &o.subscriptions_max, 1, 1000);
  s.Read("delivery_window", &o.delivery_window, 1, 1000);
  s.Read("delivery_prefetch_bytes", &o.delivery_prefetch_bytes, 1024, 64 << 20);
  s.Read("delivery_bytes_max", &o.delivery_bytes_max, 1 << 20, int64_t{1} << 40);
  s.Read("client_queue_bytes_max", &o.client_queue_bytes_max, 1 << 20, int64_t{1} << 40);
  s.Read("hops_max", &o.hops_max, 1, 1000);
  s.Read("settings_file", &o.settings_file);
  s.Read("routes_strict_compat", &o.routes_strict_compat);
  s.Read("kept_sessions_max", &o.kept_sessions_max, 0, 1'000'000);
  s.Read("session_expiry", &o.session_expiry, absl::Seconds(1), absl::Hours(24 * 365 * 10));
  s.Read("session_checkpoint_interval", &o.session_checkpoint_interval, absl::Milliseconds(100), absl::Minutes(5));
  s.Read("dedupe_window", &o.dedupe_window, 0, 65'535);
  s.Read("twin_timeout", &o.twin_timeout, absl::Milliseconds(100), absl::Minutes(2));
  s.Read("twin_first_wait", &o.twin_first_wait, absl::ZeroDuration(), absl::Minutes(1));
  s.Read("stop_grace", &o.stop_grace, absl::ZeroDuration(), absl::Minutes(5));
  s.Read("metrics_address", &o.metrics_address);
  RETURN_IF_ERROR(s.Finish());
  if (o.certificate_file.empty() != o.private_key_file.empty()) {
    return absl::InvalidArgumentError(
        "[router] certificate_file and private_key_file go together; set both, or none to have auth issue one");
  }
  if (o.mqtts_address.empty() && o.mqtt_address.empty()) {
    return absl::InvalidArgumentError("[router] mqtts_address and mqtt_address are both empty: nothing to serve");
  }
  return o;
}

}  // namespace holdfast::router
